#include "config/xds/endpoint_diff.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <string_view>
#include <unordered_map>

namespace clew {

namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// In both ClusterLoadAssignment (endpoints) and LocalityLbEndpoints (lb_endpoints).
constexpr int endpoints_field = 2;

/// A field of a message: all its bytes, and those of the message inside when it is one of the repeated endpoints.
struct Field {
  std::string_view whole;
  std::optional<std::string_view> endpoints;
};

/// Calls visit(Field) for each field in turn. False: the bytes are no message.
template <class F>
bool for_each_field(std::string_view message, F&& visit) {
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(message.data()), static_cast<int>(message.size()));
  for (;;) {
    const auto begin = static_cast<std::size_t>(in.CurrentPosition());
    const std::uint32_t tag = in.ReadTag();
    if (tag == 0) return begin == message.size();
    Field field;
    const bool wanted = WireFormatLite::GetTagFieldNumber(tag) == endpoints_field &&
                        WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    std::uint32_t size = 0;
    if (!wanted) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
    } else {
      if (!in.ReadVarint32(&size) || size > message.size()) return false;
      const auto at = static_cast<std::size_t>(in.CurrentPosition());
      if (!in.Skip(static_cast<int>(size))) return false;
      field.endpoints = message.substr(at, size);
    }
    field.whole = message.substr(begin, static_cast<std::size_t>(in.CurrentPosition()) - begin);
    visit(field);
  }
}

void append_message(std::string& out, std::string_view message) {
  std::uint8_t head[16];
  auto* end = WireFormatLite::WriteTagToArray(endpoints_field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED, head);
  end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(static_cast<std::uint32_t>(message.size()), end);
  out.append(reinterpret_cast<const char*>(head), static_cast<std::size_t>(end - head)).append(message);
}

/// The endpoints of a version by their bytes.
class Known {
 public:
  Known(const std::string& bytes, const LoadAssignment& assignment) {
    for (const LocalityEndpoints& locality : assignment.localities)
      for (const auto& endpoint : locality.endpoints) endpoints_.push_back(&endpoint);
    bytes_.reserve(endpoints_.size());
    for_each_field(bytes, [&](const Field& locality) {
      if (locality.endpoints)
        for_each_field(*locality.endpoints, [&](const Field& endpoint) {
          if (endpoint.endpoints) bytes_.push_back(*endpoint.endpoints);
        });
    });
    if (bytes_.size() != endpoints_.size()) bytes_.clear();
  }
  bool empty() const { return bytes_.empty(); }

  /// Null: not known. Most come in the order they came in before.
  EndpointPtr find(std::string_view bytes) {
    if (next_ >= bytes_.size() || bytes_[next_] != bytes) {
      if (index_.empty()) {
        index_.reserve(bytes_.size());
        for (std::size_t i = 0; i < bytes_.size(); ++i) index_.emplace(bytes_[i], i);
      }
      const auto it = index_.find(bytes);
      if (it == index_.end()) return nullptr;
      next_ = it->second;
    }
    return *endpoints_[next_++];
  }

 private:
  std::vector<std::string_view> bytes_;
  std::vector<const EndpointPtr*> endpoints_;
  std::unordered_map<std::string_view, std::size_t> index_;
  std::size_t next_ = 0;
};

}  // namespace

std::optional<EndpointDiff> diff_endpoints(const std::string& bytes, const std::string& old_bytes,
                                           const LoadAssignment& old) {
  Known known(old_bytes, old);
  if (known.empty()) return std::nullopt;
  EndpointDiff out;
  bool good = true;
  good &= for_each_field(bytes, [&](const Field& field) {
    if (!field.endpoints) {
      out.rest.append(field.whole);
      return;
    }
    auto& endpoints = out.localities.emplace_back();
    std::string locality;
    good &= for_each_field(*field.endpoints, [&](const Field& inner) {
      if (inner.endpoints) endpoints.push_back(known.find(*inner.endpoints));
      if (!inner.endpoints || !endpoints.back()) locality.append(inner.whole);
    });
    append_message(out.rest, locality);
  });
  if (!good) return std::nullopt;
  return out;
}

}  // namespace clew
