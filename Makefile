.PHONY: demo test lint torture nested tpch bench soak hangups compat fuzz

demo:
	scripts/demo

test:
	scripts/test

lint:
	scripts/lint

# Logins between every pair of legs, beside direct ones: the table of docs/passwords.md
.PHONY: passwords
passwords:
	scripts/passwords $(OPTIONS)

# QUERIES=20000 SEED=1 FLAVOUR=both
torture:
	scripts/torture --queries $(or $(QUERIES),20000) --seed $(or $(SEED),1) --flavour $(or $(FLAVOUR),both)

# COUNT=10000: closures of random schemas against brute force, without a server; ON_SERVERS=100: on each flavour
.PHONY: closures
closures:
	COUNT=$(COUNT) ON_SERVERS=$(ON_SERVERS) scripts/closures

# OPTIONS="--seconds 15 --flavour both": writers beside exports with --direct
.PHONY: locks
locks:
	scripts/locks $(OPTIONS)

# ROWS=200000 FLAVOUR=both: a lab of Spyglass's size and shape, and a paper's whole way in it
.PHONY: biglab
biglab:
	scripts/biglab --rows $(or $(ROWS),200000) --flavour $(or $(FLAVOUR),both) $(OPTIONS)

# COUNT=1000 SEED=1: expressions for each DataJoint line and flavour
nested:
	scripts/nested --count $(or $(COUNT),1000) --seed $(or $(SEED),1)

# make tpch SCALE="0.01 0.1" FLAVOUR=mysql QUERIES="6 17": see docs/tpch.md
SCALE ?= 0.01
tpch:
	scripts/tpch $(SCALE:%=--scale %) $(FLAVOUR:%=--flavour %) $(QUERIES:%=--query %) $(OPTIONS)

# Ratios against peers in the same run: the wire, the worker's parsing, looking into results, slices. make bench OPTIONS=--quick
bench:
	scripts/bench $(OPTIONS)

# The rows of a slice of a generated lab: make bench-slices OPTIONS="--rows 10000000 --slice 50"
.PHONY: bench-slices
bench-slices:
	scripts/bench-slices $(OPTIONS)

# make soak OPTIONS="--seconds 120"
soak:
	scripts/soak $(OPTIONS)

# make hangups OPTIONS="--number 1000"
hangups:
	scripts/soak hangups $(OPTIONS)

# The clients' own test suites, direct and through the proxy: see docs/compat.md. make compat SUITE="pymysql" FLAVOUR=mysql
compat:
	scripts/compat $(SUITE:%=--suite %) $(FLAVOUR:%=--flavour %) $(OPTIONS)

# make fuzz SECONDS_EACH=600 TARGET=observer
fuzz:
	scripts/fuzz --seconds $(or $(SECONDS_EACH),60) $(TARGET:%=--target %) $(OPTIONS)
