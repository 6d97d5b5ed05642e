#include "config/snapshot/listener.h"

#include <catch2/catch.hpp>

using namespace clew;

TEST_CASE("port predicates") {
  using P = PortPredicate;
  const P low{P::Range{80, 90}}, high{P::Range{1000, 65536}};
  CHECK_FALSE(low.matches(79));
  CHECK(low.matches(80));
  CHECK(low.matches(89));
  CHECK_FALSE(low.matches(90));
  CHECK(high.matches(65535));
  CHECK(P{P::Any{}}.matches(0));
  CHECK(P{P::Or{{low, high}}}.matches(2000));
  CHECK_FALSE(P{P::Or{{low, high}}}.matches(500));
  CHECK_FALSE(P{P::Or{}}.matches(1));
  CHECK_FALSE(P{P::And{{low, high}}}.matches(85));
  CHECK(P{P::And{}}.matches(1));
  CHECK_FALSE(P{P::Not{std::make_shared<const P>(low)}}.matches(85));
  CHECK(P{P::Not{std::make_shared<const P>(P{P::Or{{low, high}}})}}.matches(500));
}
