// Every filter that clew has, in one explicit table: a type's name and the function that makes a factory of its config.
// To add one: its files, a line in registry.cc and its fields in config/xds/field_table_filters.cc. What is not in the
// table is refused, by name.
#pragma once

#include "config/xds/filter_registry.h"

namespace clew {

const FilterRegistry& default_filter_registry();

}  // namespace clew
