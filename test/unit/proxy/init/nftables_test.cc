#include "proxy/init/nftables.h"
#include "proxy/init/state.h"
#include "test/unit/proxy/init/support.h"

#include <catch2/catch.hpp>

using namespace clew;

TEST_CASE("nft: every table is replaced, and only those with rules come back") {
  const std::string text = nft_script(make_rules(captured(), Backend::nftables));
  for (const char* table : {"nat", "mangle", "raw"}) {
    const std::string name = std::string("table inet istio-proxy-") + table + "\n";
    CHECK(text.find("add " + name + "delete " + name) != std::string::npos);
  }
  CHECK(text.find("add rule inet istio-proxy-mangle") == std::string::npos);
  CHECK(text.find("add chain inet istio-proxy-nat output { type nat hook output priority -100 ; }\n") !=
        std::string::npos);
  CHECK(text.find("add rule inet istio-proxy-nat istio-inbound meta l4proto tcp tcp dport 15008 counter return\n") !=
        std::string::npos);
  CHECK(nft_script({}).find("add chain") == std::string::npos);
}

TEST_CASE("nft: without inbound capture there is no prerouting chain") {
  InitConfig config = captured();
  config.all_inbound = false;
  CHECK(nft_script(make_rules(config, Backend::nftables)).find("prerouting") == std::string::npos);
}

TEST_CASE("nft: what is written is read back as the same rules") {
  const auto rules = make_rules(everything(), Backend::nftables);
  std::string listing;  // as nft lists it: rules within chains within tables
  const std::string script = nft_script(rules);
  for (Table table : nft_tables) {
    listing += "table inet " + nft_table_name(table) + " {\n";
    const std::string start = "add rule inet " + nft_table_name(table) + " ";
    for (std::size_t at = 0; (at = script.find(start, at)) != std::string::npos;) {
      at += start.size();
      const std::size_t space = script.find(' ', at), end = script.find('\n', at);
      listing += "\tchain " + script.substr(at, space - at) + " {\n\t\t" + script.substr(space + 1, end - space - 1) +
                 "\n\t}\n";
    }
    listing += "}\n";
  }
  const State state = parse_nft_list(listing);
  REQUIRE(state.rules.size() == rules.size());
  CHECK(differences(rules, state, true).empty());
}
