"""What follows from the address of the repository."""

from types import SimpleNamespace

import pytest
from _extensions.address import fill_in
from _extensions.notebooks import colab_address, install_cell


def filled_in(repository, **options):
    config = SimpleNamespace(html_theme_options={"repository_url": repository}, **options)
    fill_in(None, config)
    return config


@pytest.mark.parametrize(
    ("repository", "site", "prefix"),
    [
        ("https://github.com/owner/name", "https://owner.github.io/name/", "/name/"),
        ("https://github.com/owner/name.git", "https://owner.github.io/name/", "/name/"),
        ("https://github.com/Owner/Name/", "https://owner.github.io/Name/", "/Name/"),
        ("https://github.com/Owner/owner.github.io", "https://owner.github.io/", "/"),
        (
            "https://github.com/owner/other.github.io",
            "https://owner.github.io/other.github.io/",
            "/other.github.io/",
        ),
    ],
)
def test_where_the_site_is(monkeypatch, repository, site, prefix):
    monkeypatch.delenv("FATELIB_REPOSITORY", raising=False)
    config = filled_in(repository, html_baseurl="")
    assert config.html_baseurl == config.ogp_site_url == site
    assert config.notfound_urls_prefix == prefix


@pytest.mark.parametrize(
    "given",
    [
        "https://github.com/owner/name",
        "https://github.com/owner/name/",
        "https://github.com/owner/name.git",
        "https://github.com/owner/name.git/",
        "https://github.com/owner/name//",
        " https://github.com/owner/name\n",
        "https://user:token@github.com/owner/name.git",
        "git@github.com:owner/name.git",
        "git@github.com:owner/name",
        "git@github.com:/owner/name.git/",
        "github.com:owner/name.git",
        "github.com/owner/name",
        "ssh://git@github.com/owner/name.git",
        "ssh://git@github.com:22/owner/name/",
        "git+ssh://git@github.com/owner/name.git",
        "git+https://github.com/owner/name.git",
        "git://github.com/owner/name.git",
    ],
)
@pytest.mark.parametrize("by", ["environment", "configuration"])
def test_every_way_to_write_an_address_gives_the_same_links(monkeypatch, given, by):
    monkeypatch.delenv("FATELIB_REPOSITORY", raising=False)
    if by == "environment":
        monkeypatch.setenv("FATELIB_REPOSITORY", given)
    config = filled_in(given if by == "configuration" else "", html_baseurl="")
    address = config.html_theme_options["repository_url"]
    assert address == "https://github.com/owner/name"
    assert config.html_baseurl == config.ogp_site_url == "https://owner.github.io/name/"
    # What is made of it elsewhere.
    assert f'"fatelib[examples,widgets] @ git+{address}"' in install_cell(address)
    assert "/github/owner/name/blob/" in colab_address(address, "chapter")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://git.example.org:8443/group/sub/name.git", None),
        ("http://localhost:3000/owner/name", None),
        ("https://github.com/owner/my.github.io.git", "https://github.com/owner/my.github.io"),
    ],
)
def test_ports_and_groups_of_other_hosts_stay(monkeypatch, given, kept):
    monkeypatch.setenv("FATELIB_REPOSITORY", given)
    address = filled_in("", html_baseurl="").html_theme_options["repository_url"]
    assert address == (kept or given.removesuffix(".git"))


@pytest.mark.parametrize(
    "given", ["name", "https://github.com", "https://github.com/owner", "/a/b"]
)
def test_what_is_no_address_is_refused(monkeypatch, given):
    monkeypatch.setenv("FATELIB_REPOSITORY", given)
    with pytest.raises(ValueError, match=r"such as https://github\.com/owner/name; got"):
        filled_in("", html_baseurl="")


def test_an_address_of_its_own_stays(monkeypatch):
    monkeypatch.setenv("FATELIB_REPOSITORY", "https://github.com/owner/name")
    config = filled_in("", html_baseurl="https://book.example.org/")
    assert config.html_baseurl == "https://book.example.org/"
    assert config.notfound_urls_prefix == "/"
    assert config.html_theme_options["repository_url"] == "https://github.com/owner/name"


def test_without_a_repository_there_is_none(monkeypatch):
    monkeypatch.delenv("FATELIB_REPOSITORY", raising=False)
    assert filled_in("", html_baseurl="").html_baseurl == ""
