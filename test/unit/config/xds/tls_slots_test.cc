#include "config/xds/tls_slots.h"
#include "test/support/certificates.h"

#include <catch2/catch.hpp>

#include <map>

using namespace clew;

namespace {

using Side = TlsInterner::Side;

struct Kit {
  TestCa ca;
  std::map<std::string, std::shared_ptr<const Secret>, std::less<>> secrets;
  TlsSlots slots{[this](std::string_view name) {
    const auto it = secrets.find(name);
    return it == secrets.end() ? nullptr : it->second;
  }};

  void put(const std::string& name, const TestCertificate& certificate) {
    secrets[name] = std::make_shared<Secret>(Secret{name, certificate.chain, certificate.key, {}, {}});
    slots.on_secret(name);
  }
  static TlsParams naming(std::vector<std::string> names) {
    TlsParams params;
    params.certificate_secrets = std::move(names);
    return params;
  }
  std::shared_ptr<const TlsParams> intern(const std::string& key, TlsParams params, Side side = Side::client) {
    auto interned = slots.intern(side, key, std::move(params));
    INFO((interned ? std::string() : interned.error().message));
    REQUIRE(interned.has_value());
    return *interned;
  }
  std::string refusal(TlsParams params, Side side = Side::client) {
    const auto interned = slots.intern(side, "refused", std::move(params));
    return interned ? "accepted" : interned.error().message;
  }
  const TlsContext* context(const std::shared_ptr<const TlsParams>& params) {
    return (*slots.contexts())[params->slot].get();
  }
};

}  // namespace

TEST_CASE("slots: what no context can be made of is refused, before its secrets come and after") {
  Kit kit;
  if (GENERATE(false, true)) kit.put("own", kit.ca.issue({}));
  const Side side = GENERATE(Side::client, Side::server);
  TlsParams params = Kit::naming({"own"});
  SECTION("curves") {
    params.ecdh_curves = {"X25519", "nonsense"};
    CHECK(kit.refusal(params, side) == "Failed to initialize ECDH curves X25519:nonsense");
  }
  SECTION("ciphers") {
    params.cipher_suites = {"ECDHE-RSA-NONSENSE"};
    CHECK(kit.refusal(params, side) == "Failed to initialize cipher suites ECDHE-RSA-NONSENSE");
  }
  SECTION("pins") {
    params.validation.emplace().spki_hashes = {"=="};
    CHECK(kit.refusal(params, side) == "Invalid base64-encoded SHA-256 ==");
  }
  SECTION("what is inline") {
    params.validation.emplace().inline_ca = "nonsense";
    CHECK(kit.refusal(params, side) == "Failed to load trusted CA certificates from <inline>");
  }
  CHECK(kit.slots.contexts()->empty());
  kit.intern("good", Kit::naming({"own"}), side);
}

TEST_CASE("slots: equal keys are one context, sides are apart") {
  Kit kit;
  kit.put("own", kit.ca.issue({}));
  const auto one = kit.intern("k", Kit::naming({"own"}));
  CHECK(kit.intern("k", Kit::naming({"own"})) == one);
  CHECK(kit.intern("other", Kit::naming({"own"})) != one);
  CHECK(kit.intern("k", Kit::naming({"own"}), Side::server) != one);
}

TEST_CASE("slots: a context comes with its secret, changes with it, and stays where the next one does not fit") {
  Kit kit;
  const auto one = kit.intern("one", Kit::naming({"own"})), both = kit.intern("both", Kit::naming({"own", "rsa"}));
  CHECK_FALSE(kit.context(one));
  const auto before = kit.slots.contexts();
  CHECK(kit.slots.contexts() == before);
  kit.put("own", kit.ca.issue({}));
  CHECK(kit.slots.contexts() != before);
  const TlsContext* const first = kit.context(one);
  REQUIRE(first);
  CHECK_FALSE(kit.context(both));
  TestCertificateOptions rsa;
  rsa.rsa = true;
  kit.put("rsa", kit.ca.issue(rsa));
  const TlsContext* const pair = kit.context(both);
  REQUIRE(pair);
  kit.put("own", kit.ca.issue(rsa));  // good, but two keys of one type are one too many
  CHECK(kit.context(one) != first);
  CHECK(kit.context(one));
  CHECK(kit.context(both) == pair);
}

TEST_CASE("slots: those that nobody holds are used again") {
  Kit kit;
  kit.put("own", kit.ca.issue({}));
  const auto held = kit.intern("held", Kit::naming({"own"}));
  std::uint32_t highest = 0;
  for (int i = 0; i < 1000; ++i)
    highest = std::max(highest, kit.intern("k" + std::to_string(i), Kit::naming({"own"}))->slot);
  CHECK(highest < 64);
  CHECK(kit.context(held));
}

TEST_CASE("slots: a secret is judged by itself") {
  Kit kit;
  const TestCertificate good = kit.ca.issue({}), other = kit.ca.issue({});
  const auto check = [](Secret secret) {
    secret.name = "s";
    return TlsSlots::check(std::make_shared<const Secret>(std::move(secret)));
  };
  CHECK(check({}) == "secret s is not there");
  CHECK(check({{}, good.chain, "nonsense", {}, {}}) == "Failed to load private key from secret s");
  CHECK(check({{}, good.chain, other.key, {}, {}}) ==
        "Failed to load private key from secret s: it does not fit the certificate");
  CHECK(check({{}, "nonsense", good.key, {}, {}}) == "Failed to load certificate chain from secret s");
  CHECK(check({{}, {}, {}, "nonsense", {}}) == "Failed to load trusted CA certificates from secret s");
  CHECK(check({{}, {}, {}, kit.ca.pem(), "nonsense"}) == "Failed to load CRL from secret s");
  CHECK(check({{}, {}, {}, kit.ca.pem(), kit.ca.revoke({other})}).empty());
  CHECK(check({{}, good.chain, good.key, {}, {}}).empty());
}
