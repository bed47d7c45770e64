.PHONY: demo test lint tpch

demo:
	scripts/demo

test:
	scripts/test

lint:
	scripts/lint

# make tpch SCALE="0.01 0.1" FLAVOUR=mysql QUERIES="6 17": see docs/tpch.md
SCALE ?= 0.01
tpch:
	.venv/bin/python -m benchmarks.tpch $(SCALE:%=--scale %) $(FLAVOUR:%=--flavour %) $(QUERIES:%=--query %) $(OPTIONS)
