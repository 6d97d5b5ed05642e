#ifndef __clang__  // g++ 12 takes concatenated literals for overlapping memory (GCC bug 105651).
#pragma GCC diagnostic ignored "-Wrestrict"
#endif

#include "config/snapshot/matcher.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

StringMatcher string_matcher(StringMatcher::Kind kind, std::string text, bool ignore_case = false) {
  StringMatcher out;
  out.kind = kind;
  out.ignore_case = ignore_case;
  if (kind == StringMatcher::Kind::regex)
    out.regex = Regex::compile(text);
  else
    out.text = std::move(text);
  return out;
}

HeaderMatcher header(decltype(HeaderMatcher::rule) rule, bool invert = false, bool missing_as_empty = false) {
  HeaderMatcher out;
  out.name = "x";
  out.rule = std::move(rule);
  out.invert = invert;
  out.treat_missing_as_empty = missing_as_empty;
  return out;
}

using Kind = StringMatcher::Kind;

}  // namespace

TEST_CASE("patterns that do not compile, or compile to too much, are refused") {
  for (const char* pattern : {"(", "[", "a{2,1}", "(?=x)", "\\1", "a**"}) CHECK_FALSE(Regex::compile(pattern));
  CHECK(Regex::compile("[a-z]{100}"));
  CHECK_FALSE(Regex::compile("[a-z]{100}", 50));
  CHECK_FALSE(Regex::compile("((((a{10}){10}){10}){10}){10}"));
}

TEST_CASE("a regex matches the whole text, bytes and not characters") {
  const auto regex = *Regex::compile("a.c");
  CHECK(regex.full_match("abc"));
  CHECK_FALSE(regex.full_match("abcd"));
  CHECK_FALSE(regex.full_match("xabc"));
  CHECK(
      regex.full_match("a\xff"
                       "c"));
  CHECK_FALSE(
      regex.full_match("a\xc3\xbc"
                       "c"));
  CHECK_FALSE(regex.full_match("a\nc"));
  CHECK(Regex::compile("")->full_match(""));
  CHECK(regex.search("xabcx"));
  CHECK_FALSE(regex.search("ab"));
  const Regex copy = regex;
  CHECK(copy.pattern() == "a.c");
}

TEST_CASE("rewriting replaces every match") {
  CHECK(Regex::compile("/v(\\d+)")->replace_all("/v1/x/v22", "/\\1") == "/1/x/22");
  CHECK(Regex::compile("^/a")->replace_all("/b", "/c") == "/b");
}

TEST_CASE("strings") {
  const auto matches = [](Kind kind, const char* text, const char* value, bool ignore_case = false) {
    return string_matcher(kind, text, ignore_case).matches(value);
  };
  CHECK_FALSE(matches(Kind::exact, "ab", "abc"));
  CHECK_FALSE(matches(Kind::exact, "ab", "AB"));
  CHECK(matches(Kind::exact, "aB", "Ab", true));
  CHECK_FALSE(matches(Kind::prefix, "abc", "ab"));
  CHECK(matches(Kind::prefix, "AB", "abc", true));
  CHECK_FALSE(matches(Kind::suffix, "abc", "bc"));
  CHECK(matches(Kind::suffix, "BC", "abc", true));
  CHECK_FALSE(matches(Kind::suffix, "BC", "abc"));
  CHECK(matches(Kind::contains, "bC", "aBcd", true));
  CHECK_FALSE(matches(Kind::contains, "bC", "aBcd"));
  CHECK(matches(Kind::contains, "", "", true));
  CHECK(matches(Kind::regex, "a+", "aaa"));
  CHECK_FALSE(matches(Kind::regex, "a+", "aab"));
  StringMatcher broken;
  broken.kind = Kind::regex;
  CHECK_FALSE(broken.matches(""));
}

TEST_CASE("an absent header matches no comparison, inverted or not") {
  const auto rule = string_matcher(Kind::exact, "v");
  CHECK_FALSE(header(rule).matches({}));
  CHECK_FALSE(header(rule, true).matches({}));
  CHECK_FALSE(header(HeaderMatcher::Range{0, 5}, true).matches({}));
  CHECK(header(rule, true, true).matches({}));
  CHECK(header(string_matcher(Kind::exact, ""), false, true).matches({}));
}

TEST_CASE("presence") {
  CHECK(header(HeaderMatcher::Present{true}).matches(""));
  CHECK_FALSE(header(HeaderMatcher::Present{true}).matches({}));
  CHECK(header(HeaderMatcher::Present{true}, true).matches({}));
  CHECK_FALSE(header(HeaderMatcher::Present{true}, true).matches("x"));
  CHECK(header(HeaderMatcher::Present{false}).matches({}));
  CHECK_FALSE(header(HeaderMatcher::Present{false}).matches("x"));
  CHECK(header(HeaderMatcher::Present{true}, false, true).matches({}));
}

TEST_CASE("ranges take whole numbers only") {
  const auto in = [](const char* value, bool invert = false) {
    return header(HeaderMatcher::Range{-5, 10}, invert).matches(value);
  };
  CHECK(in("-5"));
  CHECK(in("9"));
  CHECK(in(" 7 "));
  CHECK(in("+7"));
  CHECK_FALSE(in("10"));
  for (const char* text : {"", "x", "7x", "7.0", "+-7", "9223372036854775808", " "}) {
    CHECK_FALSE(in(text));
    CHECK(in(text, true));
  }
}

TEST_CASE("what every match of an expression begins with") {
  const auto prefix = [](const char* pattern) { return Regex::compile(pattern)->required_prefix(); };
  CHECK(prefix("/service-7/[a-z]+") == "/service-7/");
  CHECK(prefix("/a/(b|bc)/.*") == "/a/b");
  CHECK(prefix("/a|/b") == "/");
  CHECK(prefix("/ab?") == "/a");
  for (const char* pattern : {"", ".*", ".*/a", "(?:/a)?", "[^/]"}) CHECK(prefix(pattern).empty());
  CHECK(prefix("(?i)/Ab").size() <= 1);
}
