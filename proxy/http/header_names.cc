#include "proxy/http/header_names.h"

#include <array>

namespace clew {
namespace {

constexpr std::array names{std::string_view{},
#define CLEW_HEADER_TEXT(id, text) std::string_view{text},
                           CLEW_HEADER_NAMES(CLEW_HEADER_TEXT)
#undef CLEW_HEADER_TEXT
};
static_assert(names.size() <= 256, "HeaderId is one byte");

// Length and a few characters tell nearly all names apart; the full comparison decides.
constexpr std::size_t slots = 1024;
constexpr std::size_t hash(std::string_view name) {
  const auto at = [name](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(name[i])); };
  const std::size_t n = name.size();
  const std::size_t mixed =
      n * 0x9e37u + at(0) * 0x85ebu + at(n - 1) * 0xc2b3u + at(n / 2) * 0x27d5u + at(n * 3 / 4) * 0x1657u;
  return (mixed ^ (mixed >> 10)) % slots;
}

constexpr auto make_table() {
  std::array<std::uint8_t, slots> table{};
  for (std::size_t id = 1; id < names.size(); ++id) {
    std::size_t slot = hash(names[id]);
    while (table[slot] != 0) slot = (slot + 1) % slots;
    table[slot] = static_cast<std::uint8_t>(id);
  }
  return table;
}
constexpr auto table = make_table();

}  // namespace

HeaderId header_id(std::string_view lower_name) noexcept {
  if (lower_name.empty()) return HeaderId::unknown;
  for (std::size_t slot = hash(lower_name); table[slot] != 0; slot = (slot + 1) % slots) {
    if (names[table[slot]] == lower_name) return static_cast<HeaderId>(table[slot]);
  }
  return HeaderId::unknown;
}

std::string_view header_name(HeaderId id) noexcept { return names[static_cast<std::size_t>(id)]; }

bool hop_by_hop(HeaderId id) noexcept {
  switch (id) {
    case HeaderId::connection:
    case HeaderId::http2_settings:
    case HeaderId::keep_alive:
    case HeaderId::proxy_connection:
    case HeaderId::te:
    case HeaderId::transfer_encoding:
    case HeaderId::upgrade: return true;
    default: return false;
  }
}

}  // namespace clew
