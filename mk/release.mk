# What is handed out: the collection as Galaxy takes it, the docs site, a release. Tools of their own, beside the development venv.
RELEASE := $(GPUSERVE_CACHE)/release-$(shell sha256sum < requirements/release.txt | cut -c1-12)
SITE ?= $(GPUSERVE_CACHE)/site/$(notdir $(CURDIR))
DIST ?= $(GPUSERVE_CACHE)/dist/$(notdir $(CURDIR))

$(RELEASE)/.ready: requirements/release.txt
	@mk/venv.sh $(RELEASE) requirements/release.txt

.PHONY: changelog galaxy docs-site docs-look release sanity-all execution-environment
changelog: $(RELEASE)/.ready ## put the fragments of changelogs/fragments into CHANGELOG.md, under galaxy.yml's version
	@PATH=$(RELEASE)/bin:$$PATH antsibull-changelog release --update-existing

galaxy: $(RELEASE)/.ready ## the collection as Galaxy judges it: its importer, antsibull's lint of docs and changelog (a minute)
	@PYTHONPATH=.collections $(RELEASE)/bin/python -m ansible_collections.gpuserve.fleet.tests.support.release.galaxy

docs-site: $(RELEASE)/.ready ## the docs site from the hand-written pages and those of modules, plugins and roles; a broken link fails
	@$(RELEASE)/bin/python -m tests.support.site.build $(SITE)
	@echo "docs site: $(SITE)/index.html"

docs-look: docs-site ## every page of the site in headless Chromium, narrow and wide: no error in its console, axe-core clean
	@mk/chromium.sh $(GPUSERVE_CACHE)/axe
	@$(RELEASE)/bin/python -m tests.support.site.look $(SITE) $(GPUSERVE_CACHE)/axe/package/axe.min.js

release: $(RELEASE)/.ready ## the tarball, the same bytes each time, with checksums and an SBOM of what roles install
	@PYTHONPATH=.collections $(RELEASE)/bin/python -m ansible_collections.gpuserve.fleet.tests.support.release.build $(DIST)

sanity-all: $(VENV)/.ready ## ansible-test sanity on ansible-core 2.17 up to the newest, as far as this machine has the Python (minutes each)
	@mk/sanity-all.sh $(GPUSERVE_CACHE)

execution-environment: $(VENV)/.ready ## AWX's image with this checkout in it (TAG=gpuserve-ee; BASE=debian: on Debian packages, where quay.io is not reached)
	@PYTHONPATH=.collections python -m ansible_collections.gpuserve.fleet.tests.support.release.environment $(or $(TAG),gpuserve-ee) $(BASE)
