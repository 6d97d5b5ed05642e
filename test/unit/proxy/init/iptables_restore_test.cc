#include "proxy/init/iptables_restore.h"
#include "test/unit/proxy/init/support.h"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace clew;

namespace {

std::vector<Rule> v4(const InitConfig& config) { return of_family(make_rules(config, Backend::iptables), Family::v4); }

/// Positions of the parts in the text, which must all be there.
std::vector<std::size_t> places(const std::string& text, std::vector<std::string> parts) {
  std::vector<std::size_t> out;
  for (const auto& part : parts) {
    INFO(part << " in " << text);
    REQUIRE(text.find(part) != std::string::npos);
    out.push_back(text.find(part));
  }
  return out;
}

}  // namespace

TEST_CASE("iptables-restore: one table needs no guard, and its jumps come last") {
  const std::string text = replace_text({}, text_of(v4(captured())), false);
  CHECK(text.find("*filter") == std::string::npos);
  CHECK(text.ends_with("-A PREROUTING -p tcp -j ISTIO_INBOUND\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n"));
  CHECK(std::ranges::is_sorted(
      places(text, {"*nat\n", "-N ISTIO_INBOUND\n", "-N ISTIO_OUTPUT\n", "-A ISTIO_INBOUND ", "-A PREROUTING "})));
}

TEST_CASE("iptables-restore: several tables change behind the guard rules") {
  const std::string text = replace_text({}, text_of(v4(everything())), false);
  CHECK(std::ranges::is_sorted(places(
      text, {"*filter\n-I INPUT 1 -p tcp -j DROP\n", "*raw\n", "*mangle\n", "*nat\n", "-D INPUT -p tcp -j DROP\n"})));
  const std::string again = replace_text({}, text_of(v4(everything())), true);
  CHECK(again.find("-I INPUT") == std::string::npos);
  CHECK(again.find("-D INPUT") != std::string::npos);
}

TEST_CASE("iptables-restore: a rehearsal has no guard rules") {
  CHECK(replace_text_unguarded({}, text_of(v4(everything()))).find("filter") == std::string::npos);
}

TEST_CASE("iptables-restore: what comes before the rules of others keeps its order") {
  const std::string text = replace_text({}, text_of(v4(everything())), false);
  CHECK(std::ranges::is_sorted(
      places(text, {"-I PREROUTING 1 -i k6t-a -j RETURN", "-I PREROUTING 1 -i k6t-b -j RETURN",
                    "-I PREROUTING 1 -i k6t-a -j ISTIO_REDIRECT", "-I PREROUTING 1 -i k6t-b -j ISTIO_REDIRECT"})));
}

TEST_CASE("iptables-restore: replacing takes out what is ours, and nothing else") {
  const State state = parse_iptables_save(
      "*nat\n:PREROUTING ACCEPT [0:0]\n:ISTIO_OLD - [0:0]\n:MINE - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 22 -j "
      "MINE\n"
      "-A PREROUTING -p tcp -j ISTIO_OLD\n-A PREROUTING -i eth5 -j RETURN\n-A ISTIO_OLD -m quota --quota 5 -j "
      "RETURN\n-A MINE -j ACCEPT\nCOMMIT\n",
      Family::v4);
  const RuleText own = own_text(state, v4(everything()));
  CHECK(
      replace_text(own, {}, false) ==
      "*nat\n-D PREROUTING -p tcp -j ISTIO_OLD\n-D PREROUTING -i eth5 -j RETURN\n-F ISTIO_OLD\n-X ISTIO_OLD\nCOMMIT\n");
  CHECK(replace_text({}, {}, false).empty());
  CHECK(replace_text({}, {}, true).starts_with("*filter\n-D INPUT"));
}
