#include "proxy/grpc/framing.h"

#include <algorithm>
#include <utility>

namespace clew {

void append_grpc_message(Buffer& out, std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  const char prefix[5] = {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                          static_cast<char>(size)};
  out.append({prefix, sizeof prefix});
  out.append(message);
}

Result<std::string> GrpcMessageReader::next(Buffer& in) {
  while (!in_message_ && !in.empty()) {
    prefix_[prefix_size_++] = in.front().front();
    in.consume(1);
    if (prefix_size_ < sizeof prefix_) continue;
    prefix_size_ = 0;
    if (prefix_[0] != 0) return Error{Errc::http_bad_message};
    missing_ = 0;
    for (int i = 1; i < 5; ++i) missing_ = missing_ << 8 | static_cast<unsigned char>(prefix_[i]);
    if (missing_ > max_message_) return Error{Errc::out_of_memory_bound};
    in_message_ = true;
    message_.clear();
  }
  if (!in_message_) return Error{Errc::would_block};
  while (missing_ > 0 && !in.empty()) {
    const std::string_view part = in.front().substr(0, missing_);
    message_.append(part);
    missing_ -= part.size();
    in.consume(part.size());
  }
  if (missing_ > 0) return Error{Errc::would_block};
  in_message_ = false;
  return std::exchange(message_, {});
}

std::string decode_grpc_message(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string grpc_timeout(Duration timeout) {
  struct Unit {
    Duration::rep nanoseconds;
    char letter;
  };
  static constexpr Unit units[] = {
      {1, 'n'}, {1'000, 'u'}, {1'000'000, 'm'}, {1'000'000'000, 'S'}, {60'000'000'000, 'M'}, {3'600'000'000'000, 'H'}};
  constexpr Duration::rep max = 99'999'999;
  const Unit* unit = units;
  while (unit->letter != 'H' && timeout.count() / unit->nanoseconds > max) ++unit;
  return std::to_string(std::max<Duration::rep>(1, timeout.count() / unit->nanoseconds)) + unit->letter;
}

std::uint32_t grpc_code_of_http(std::uint32_t status) {
  switch (status) {
    case 400: return GrpcCode::internal;
    case 401: return GrpcCode::unauthenticated;
    case 403: return GrpcCode::permission_denied;
    case 404: return GrpcCode::unimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return GrpcCode::unavailable;
    default: return GrpcCode::unknown;
  }
}

}  // namespace clew
