#include "proxy/net/certificate.h"

#include <catch2/catch.hpp>

#include <string>

namespace clew {
namespace {

TEST_CASE("certificate names against hosts") {
  struct Row {
    const char *host, *name;
    bool good;
  };
  for (const Row& row : std::initializer_list<Row>{{"a.example", "a.example", true},
                                                   {"A.Example", "a.example", true},
                                                   {"a.example", "*.example", true},
                                                   {"a.b.example", "*.example", false},
                                                   {"example", "*.example", false},
                                                   {"ab.example", "a*.example", true},
                                                   {"ba.example", "a*.example", false},
                                                   {"a.example", "*", false},
                                                   {"a.example", "*.*", false},
                                                   {"a.example", "a.*", false},
                                                   {"a.example", "**.example", false},
                                                   {"xn--a.example", "xn--*.example", false},
                                                   {"foobar.example", "f*r.example", true},
                                                   {"fr.example", "fo*or.example", false},
                                                   {"", "*.example", false}}) {
    INFO(row.host << " " << row.name);
    REQUIRE(dns_name_matches(row.host, row.name) == row.good);
  }
  // an embedded NUL does not shorten a name
  REQUIRE_FALSE(dns_name_matches("a.example", std::string_view("a.example\0.evil", 15)));
}

}  // namespace
}  // namespace clew
