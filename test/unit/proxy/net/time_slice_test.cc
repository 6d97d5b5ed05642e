#include "proxy/net/time_slice.h"

#include <catch2/catch.hpp>

#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <thread>

namespace clew {
namespace {

/// As the kernel tells it, in ms; none where it does not (before 6.12, or without its debugging file).
double slice_of_this_thread() {
  std::ifstream file("/proc/thread-self/sched");
  for (std::string word; file >> word;)
    if (double value = 0; word == "se.slice" && file >> word >> value) return value;
  return -1;
}

template <class F>
void in_a_thread(F&& f) {
  std::thread(std::forward<F>(f)).join();
}

TEST_CASE("time slice: asked for by one thread, whose nice value stays") {
  in_a_thread([] {
    const sched_param none{};
    REQUIRE(::sched_setscheduler(0, SCHED_OTHER, &none) == 0);  // whatever these tests run under
    REQUIRE(::setpriority(PRIO_PROCESS, 0, 7) == 0);  // of the thread
    CHECK(ask_for_time_slice(std::chrono::microseconds(300)) == 0);
    CHECK(::getpriority(PRIO_PROCESS, 0) == 7);
    if (const double slice = slice_of_this_thread(); slice >= 0) CHECK(slice == 300'000);
  });
  CHECK(slice_of_this_thread() != 300'000);
}

TEST_CASE("time slice: another policy stays") {
  in_a_thread([] {
    const sched_param none{};
    REQUIRE(::sched_setscheduler(0, SCHED_BATCH, &none) == 0);
    CHECK(ask_for_time_slice(std::chrono::microseconds(300)) == EINVAL);
    CHECK(::sched_getscheduler(0) == SCHED_BATCH);
  });
}

}  // namespace
}  // namespace clew
