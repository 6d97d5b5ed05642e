// Rules as a script of nft: tables inet istio-proxy-{nat,mangle,raw}, replaced in one transaction.
#pragma once

#include "proxy/init/rules.h"

#include <string>
#include <vector>

namespace clew {

/// Our tables, in the order in which they are made.
inline constexpr Table nft_tables[] = {Table::nat, Table::mangle, Table::raw};
std::string nft_table_name(Table table);

/// All three tables go and those that have rules come; `rules` as made for Backend::nftables, none to clean up.
std::string nft_script(const std::vector<Rule>& rules);

}  // namespace clew
