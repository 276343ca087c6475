"""What follows from the address of the repository."""

from types import SimpleNamespace

import pytest
from _extensions.address import fill_in


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


def test_an_address_of_its_own_stays(monkeypatch):
    monkeypatch.setenv("FATELIB_REPOSITORY", "https://github.com/owner/name")
    config = filled_in("", html_baseurl="https://book.example.org/")
    assert config.html_baseurl == "https://book.example.org/"
    assert config.notfound_urls_prefix == "/"
    assert config.html_theme_options["repository_url"] == "https://github.com/owner/name"


def test_without_a_repository_there_is_none(monkeypatch):
    monkeypatch.delenv("FATELIB_REPOSITORY", raising=False)
    assert filled_in("", html_baseurl="").html_baseurl == ""
