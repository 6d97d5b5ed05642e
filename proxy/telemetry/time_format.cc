#include "proxy/telemetry/time_format.h"

#include <array>
#include <cstdint>
#include <ctime>
#include <vector>

namespace clew {

namespace {

struct Rendered {
  std::string format;
  std::int64_t second = INT64_MIN;
  std::string text;
  struct Fraction {
    std::size_t at;
    int digits;
  };
  std::vector<Fraction> fractions;  // of the second, left out of text
};

void append_strftime(std::string& out, const std::string& specifier, const std::tm& calendar) {
  char buffer[128];
  out.append(buffer, std::strftime(buffer, sizeof buffer, specifier.c_str(), &calendar));
}

/// One specifier at format[0] = '%'; returns its length.
std::size_t render_specifier(Rendered& out, std::string_view format, const std::tm& calendar) {
  const auto digit = [&](std::size_t i) {
    return i < format.size() && format[i] >= '1' && format[i] <= '9' ? format[i] - '0' : 0;
  };
  if (format.starts_with("%f")) {
    out.fractions.push_back({out.text.size(), 9});
    return 2;
  }
  if (digit(1) && format.size() > 2 && format[2] == 'f') {
    out.fractions.push_back({out.text.size(), digit(1)});
    return 3;
  }
  if (format.starts_with("%E") && digit(2) && format.size() > 3 && (format[3] == 'S' || format[3] == 'f')) {
    if (format[3] == 'S') {
      append_strftime(out.text, "%S", calendar);
      out.text += '.';
    }
    out.fractions.push_back({out.text.size(), digit(2)});
    return 4;
  }
  if (format.starts_with("%Ez")) {
    out.text += "+00:00";
    return 3;
  }
  if (format.starts_with("%s")) {  // strftime's own goes by the local zone
    out.text += std::to_string(out.second);
    return 2;
  }
  std::size_t end = format.find_first_not_of("-_0^#123456789EO", 1);
  end = end == format.npos ? format.size() : end + 1;
  append_strftime(out.text, std::string(format.substr(0, end)), calendar);
  return end;
}

void render(Rendered& out, std::string_view format, std::int64_t second) {
  out.format = format;
  out.second = second;
  out.text.clear();
  out.fractions.clear();
  const std::time_t time = second;
  std::tm calendar{};
  gmtime_r(&time, &calendar);
  while (!format.empty()) {
    if (format[0] == '%') {
      format.remove_prefix(render_specifier(out, format, calendar));
    } else {
      out.text += format[0];
      format.remove_prefix(1);
    }
  }
}

const Rendered& rendered(std::string_view format, std::int64_t second) {
  thread_local std::array<Rendered, 4> cache;
  thread_local std::size_t next = 0;
  for (Rendered& entry : cache) {
    if (entry.format != format) continue;
    if (entry.second != second) render(entry, format, second);
    return entry;
  }
  Rendered& entry = cache[next++ % cache.size()];
  render(entry, format, second);
  return entry;
}

}  // namespace

void append_time(std::string& out, std::string_view format, WallTime time) {
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  auto fraction = (time - second).count();
  char digits[9];
  for (int i = 8; i >= 0; --i, fraction /= 10) digits[i] = static_cast<char>('0' + fraction % 10);
  const Rendered& entry = rendered(format, second.time_since_epoch().count());
  std::size_t at = 0;
  for (const Rendered::Fraction& place : entry.fractions) {
    out.append(entry.text, at, place.at - at);
    out.append(digits, static_cast<std::size_t>(place.digits));
    at = place.at;
  }
  out.append(entry.text, at);
}

}  // namespace clew
