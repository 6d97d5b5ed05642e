#include "proxy/upstream/header_value.h"

#include "proxy/http/stream.h"
#include "proxy/telemetry/formatter.h"

namespace clew {

std::string format_header_value(const TextFormat& format, const Stream& stream) {
  std::string out;
  if (format.size() == 1 && format.front().op == FormatItem::Op::literal) return format.front().text;
  FormatContext context{stream.info};
  context.connection = &stream.connection;
  context.now = stream.worker.clock().now();
  context.wall = stream.worker.clock().wall();
  context.request = &stream.request;
  context.response = &stream.response;
  append_text(out, format, context, "");
  return out;
}

}  // namespace clew
