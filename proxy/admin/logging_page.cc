#include "proxy/admin/logging_page.h"

#include "proxy/base/log.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {

namespace {

constexpr std::string_view usage =
    "\nusage: /logging?<name>=<level> (change single level)\n"
    "usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n"
    "usage: /logging?level=<level> (change all levels)\n"
    "levels: trace debug info warning error critical off\n";

using Change = std::pair<Logger*, LogLevel>;

/// «NAME:LEVEL,…»; what is wrong with it, or nothing.
std::string_view read_paths(std::string_view text, std::vector<Change>& into) {
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    const auto colon = item.find(':');
    if (colon == 0 || colon >= item.size() - 1) return "error: empty logger name or empty logger level";
    Change change{log::find(item.substr(0, colon)), LogLevel::info};
    if (!change.first) return "error: unknown logger name";
    if (!parse_log_level(item.substr(colon + 1), change.second)) return "error: unknown logger level";
    into.push_back(change);
  }
  return {};
}

std::string_view change_levels(const Query& query) {
  if (query.empty()) return {};
  if (query.items().size() > 1) return "error: invalid number of parameters";
  const auto& [key, value] = query.items().front();
  if (key == "paths") {
    std::vector<Change> changes;
    if (const std::string_view problem = read_paths(value, changes); !problem.empty()) return problem;
    for (const auto& [logger, level] : changes) logger->set_level(level);
    return {};
  }
  LogLevel level;
  Logger* logger = key == "level" ? nullptr : log::find(key);
  if (key != "level" && !logger) return "error: unknown logger name";
  if (!parse_log_level(value, level)) return "error: unknown logger level";
  logger ? logger->set_level(level) : log::set_level(level);
  return {};
}

}  // namespace

AdminResponse logging_page(const Query& query) {
  if (const std::string_view problem = change_levels(query); !problem.empty())
    return AdminResponse::error(400, fmt::format("{}\n{}", problem, usage));
  std::vector<const Logger*> loggers(log::all().begin(), log::all().end());
  std::sort(loggers.begin(), loggers.end(), [](const auto* a, const auto* b) { return a->name() < b->name(); });
  AdminResponse response{200, "active loggers:\n"};
  for (const Logger* logger : loggers)
    response.body += fmt::format("  {}: {}\n", logger->name(), to_string(logger->level()));
  response.body += "\n";
  return response;
}

}  // namespace clew
