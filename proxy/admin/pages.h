// The pages of the admin interface: one table, from which /help and / are printed too.
#pragma once

#include "proxy/admin/admin.h"

#include <span>

namespace clew {

struct AdminPage {
  std::string_view path;
  bool mutates = false;  // POST only
  std::string_view help;
  Task<AdminResponse> (*run)(Process& process, const Query& query);
};

std::span<const AdminPage> admin_pages();
const AdminPage* find_admin_page(std::string_view path);
/// What /help prints.
std::string admin_help();

}  // namespace clew
