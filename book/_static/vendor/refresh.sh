#!/usr/bin/env bash
# Fetch every vendored script again: bash book/_static/vendor/refresh.sh
# The versions stand here and nowhere else; README.md beside this file describes them.
set -euo pipefail
MATHJAX=3.2.2
REQUIREJS=2.3.8
HTML_MANAGER=1.0.14 # 1.0.15 ships without its licence
ANYWIDGET=0.11.0 # the version in requirements.txt: front and back end must agree

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"

unpack() { # unpack NAME@VERSION: leaves the npm package in ./package
  rm -rf package
  tar xzf "$(npm pack --silent "$1")"
}

cd "$work" && unpack "mathjax@$MATHJAX"
rm -rf "$here/mathjax" && mkdir -p "$here/mathjax/output/chtml/fonts"
cp package/LICENSE package/es5/tex-chtml-full.js "$here/mathjax/"
cp -r package/es5/output/chtml/fonts/woff-v2 "$here/mathjax/output/chtml/fonts/"

unpack "requirejs@$REQUIREJS"
rm -rf "$here/requirejs" && mkdir "$here/requirejs"
cp package/require.js "$here/requirejs/" # its licence (MIT) is its first comment

unpack "@jupyter-widgets/html-manager@$HTML_MANAGER"
rm -rf "$here/html-manager" && mkdir "$here/html-manager"
cp package/LICENSE package/dist/embed-amd.js package/dist/*.woff2 "$here/html-manager/"

python3 -m pip download --quiet --no-deps --only-binary=:all: "anywidget==$ANYWIDGET"
python3 -m zipfile -e anywidget-*.whl wheel
rm -rf "$here/anywidget" && mkdir "$here/anywidget"
cp wheel/anywidget/nbextension/index.js "$here/anywidget/anywidget.js"
cp wheel/anywidget-*.dist-info/licenses/LICENSE "$here/anywidget/"

du -sh "$here"/*/
