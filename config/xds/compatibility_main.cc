// Prints COMPATIBILITY.md on standard output.
#include "config/xds/compatibility.h"

#include <cstdio>

int main() {
  const std::string text = clew::compatibility_markdown();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
