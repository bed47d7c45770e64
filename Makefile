.PHONY: demo test lint torture

demo:
	scripts/demo

test:
	scripts/test

lint:
	scripts/lint

# QUERIES=20000 SEED=1 FLAVOUR=both
torture:
	scripts/torture --queries $(or $(QUERIES),20000) --seed $(or $(SEED),1) --flavour $(or $(FLAVOUR),both)
