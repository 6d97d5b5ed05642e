// The coroutine type of the data path: lazily started, bound to one io_context, cancelled by closing what it waits for.
// Named functions only, parameters by value or references that the awaiter owns (ARCHITECTURE.md, «coroutines»).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace clew {

using Executor = boost::asio::io_context::executor_type;

template <class T = void>
using Task = boost::asio::awaitable<T, Executor>;

}  // namespace clew
