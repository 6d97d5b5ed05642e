// Snapshot values as text, every member of them: two values are equal when their texts are.
#pragma once

#include "config/bootstrap/bootstrap.h"
#include "config/snapshot/snapshot.h"

#include <string>

namespace clew::test {

std::string print(const Cluster& value);
std::string print(const LoadAssignment& value);
std::string print(const Listener& value);
std::string print(const RouteTable& value);
std::string print(const Secret& value);
std::string print(const Bootstrap& value);

}  // namespace clew::test
