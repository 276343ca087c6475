#!/usr/bin/env bash
# Fetch what is vendored again: bash book/_static/vendor/refresh.sh
# The versions stand here and nowhere else; README.md beside this file describes it.
set -euo pipefail
MATHJAX=3.2.2
SOURCE_SANS=5.3.1

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"

tar xzf "$(npm pack --silent "mathjax@$MATHJAX")"
rm -rf "$here/mathjax" && mkdir -p "$here/mathjax/output/chtml/fonts"
cp package/LICENSE package/es5/tex-chtml-full.js "$here/mathjax/"
cp -r package/es5/output/chtml/fonts/woff-v2 "$here/mathjax/output/chtml/fonts/"

tar xzf "$(npm pack --silent "@fontsource-variable/source-sans-3@$SOURCE_SANS")"
rm -rf "$here/source-sans" && mkdir -p "$here/source-sans"
cp package/LICENSE package/files/source-sans-3-{latin-wght-normal,latin-wght-italic,greek-wght-normal}.woff2 "$here/source-sans/"

du -sh "$here"/*/
