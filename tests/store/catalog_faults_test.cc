// Pushes and alias moves over an engine that loses answers: neither lost nor doubled.
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/model_record.h"
#include "tests/store/store_fixture.h"
#include "tests/support/memory_engine.h"

namespace ballast {
namespace {

constexpr int kRuns = 2000;
const Faults kUnsure = {.unknown_applied = 0.1,
                        .unknown_lost = 0.1,
                        .unknown_late = 0.1,
                        .unavailable = 0.02,
                        .short_page = 0.3};

struct Lossy {
  explicit Lossy(uint64_t seed, const Faults& faults)
      : engine(faults, seed), catalog(*Catalog::Open(engine.blobs(), engine.records(), Limits())) {}
  // Ends the faults, and lets everything that is under way arrive.
  void Calm() {
    engine.SetFaults({});
    engine.records()->ApplyLate();
  }
  std::vector<VersionInfo> Versions() {
    const auto page = catalog->ListVersions("m", 0, "");
    return page.ok() ? page->versions : std::vector<VersionInfo>();
  }

  MemoryEngine engine;
  std::unique_ptr<Catalog> catalog;
};

CatalogPush::PublishOptions Named(const std::string& message) {
  CatalogPush::PublishOptions options;
  options.message = message;
  return options;
}

// Every push says what became of it, and the catalog agrees.
void CheckOutcomes(const std::map<std::string, absl::StatusOr<VersionInfo>>& outcomes,
                   const std::vector<VersionInfo>& versions) {
  std::map<std::string, std::vector<uint64_t>> by_message;
  std::set<uint64_t> numbers;
  for (const VersionInfo& version : versions) {
    by_message[version.message].push_back(version.version);
    numbers.insert(version.version);
  }
  if (!numbers.empty()) {
    EXPECT_EQ(*numbers.rbegin(), numbers.size());
  }
  for (const auto& [message, outcome] : outcomes) {
    if (outcome.ok()) {
      EXPECT_THAT(by_message[message], ::testing::ElementsAre(outcome->version)) << message;
    } else {
      EXPECT_EQ(outcome.status().code(), absl::StatusCode::kUnavailable) << outcome.status();
      EXPECT_THAT(by_message[message], ::testing::IsEmpty()) << message;
    }
  }
}

TEST(CatalogFaults, APushIsNeitherLostNorDoubled) {
  int published = 0;
  for (uint64_t seed = 1; seed <= kRuns; ++seed) {
    SCOPED_TRACE(seed);
    Lossy lossy(seed, kUnsure);
    std::map<std::string, absl::StatusOr<VersionInfo>> outcomes;
    for (int i = 0; i < 4; ++i) {
      const std::string name = absl::StrCat("push ", i);
      auto outcome = PushBlocks(lossy.catalog.get(), "m", {MakeBlock(i, 20)}, "", Named(name));
      published += outcome.ok();
      outcomes.emplace(name, std::move(outcome));
    }
    lossy.Calm();
    CheckOutcomes(outcomes, lossy.Versions());
    if (HasFailure()) return;
  }
  EXPECT_GT(published, kRuns);
}

TEST(CatalogFaults, ARepeatedRequestPublishesOnce) {
  for (uint64_t seed = 1; seed <= kRuns; ++seed) {
    SCOPED_TRACE(seed);
    Lossy lossy(seed, kUnsure);
    absl::StatusOr<VersionInfo> outcome = absl::UnavailableError("not tried");
    while (absl::IsUnavailable(outcome.status())) {
      outcome = PushBlocks(lossy.catalog.get(), "m", {MakeBlock(1, 20)}, "request", Named("one"));
    }
    ASSERT_THAT(outcome, IsOk());
    lossy.Calm();
    ASSERT_EQ(lossy.Versions().size(), 1u);
    EXPECT_EQ(**lossy.catalog->FindPush("m", "request"), *outcome);
  }
}

TEST(CatalogFaults, ThreadsOverALossyEngineMakeEachVersionOnce) {
  constexpr int kThreads = 4;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Lossy lossy(seed, kUnsure);
    std::vector<std::map<std::string, absl::StatusOr<VersionInfo>>> outcomes(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 5; ++i) {
          const std::string name = absl::StrCat(t, "/", i);
          outcomes[t].emplace(name, PushBlocks(lossy.catalog.get(), "m",
                                               {MakeBlock(t * 10 + i, 20)}, "", Named(name)));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    lossy.Calm();
    for (const auto& of_thread : outcomes) CheckOutcomes(of_thread, lossy.Versions());
  }
}

TEST(CatalogFaults, AliasRequestsAreAppliedOnce) {
  for (uint64_t seed = 1; seed <= kRuns; ++seed) {
    SCOPED_TRACE(seed);
    Lossy lossy(seed, {});
    for (uint64_t i = 1; i <= 3; ++i) {
      ASSERT_THAT(PushBlocks(lossy.catalog.get(), "m", {MakeBlock(i, 20)}), IsOk());
    }
    lossy.engine.SetFaults(kUnsure);
    uint64_t expected = 0;
    for (uint64_t version = 1; version <= 3; ++version) {
      absl::StatusOr<uint64_t> before = absl::UnavailableError("not tried");
      while (absl::IsUnavailable(before.status())) {
        before = lossy.catalog->SetAlias("m", "prod", version, expected,
                                         {absl::StrCat("move ", version)});
      }
      ASSERT_THAT(before, IsOk());
      EXPECT_EQ(*before, expected);
      expected = version;
    }
    lossy.Calm();
    EXPECT_EQ(lossy.catalog->GetModel("m")->aliases.at("prod"), 3u);
  }
}

TEST(CatalogFaults, MovesWithoutARequestIdAreFoundByTheirToken) {
  const Faults unsure = {.unknown_applied = 0.4, .unknown_lost = 0.2};
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Lossy lossy(seed, {});
    ASSERT_THAT(PushBlocks(lossy.catalog.get(), "m", {MakeBlock(1, 20)}), IsOk());
    lossy.engine.SetFaults(unsure);
    EXPECT_EQ(*lossy.catalog->SetAlias("m", "prod", 1, 0, {}), 0u);
    EXPECT_THAT(lossy.catalog->BindSchema("m", "{}", ""), IsOk());
    EXPECT_EQ(*lossy.catalog->GetBoundSchema("m"), "{}");
    EXPECT_THAT(lossy.catalog->UnbindSchema("m", ""), IsOk());
    EXPECT_THAT(lossy.catalog->RemoveAlias("m", "prod", 1, {}), IsOk());
    const auto model = lossy.catalog->GetModel("m");
    EXPECT_FALSE(model->has_schema);
    EXPECT_TRUE(model->aliases.empty());
  }
}

TEST(CatalogFaults, ListingsAreWholeOverShortPages) {
  Lossy lossy(1, {});
  for (uint64_t i = 1; i <= 30; ++i) {
    ASSERT_THAT(PushBlocks(lossy.catalog.get(), "m", {MakeBlock(i, 20)}), IsOk());
    ASSERT_THAT(PushBlocks(lossy.catalog.get(), absl::StrCat("n", i), {MakeBlock(i, 20)}), IsOk());
  }
  lossy.engine.SetFaults({.short_page = 1});
  EXPECT_EQ(lossy.Versions().size(), 30u);
  EXPECT_EQ(lossy.catalog->ListModels("n", 0, "")->models.size(), 30u);
}

TEST(CatalogFaults, AnEngineThatIsAwayIsUnavailable) {
  Lossy lossy(1, {});
  const auto push = *lossy.catalog->BeginPush("m", "");
  const TestBlock block = MakeBlock(1, 20);
  ASSERT_THAT(push->Add(block.digest, block.crc32, block.bytes), IsOk());
  lossy.engine.SetFaults({.unavailable = 1});
  const auto code = absl::StatusCode::kUnavailable;
  EXPECT_THAT(push->Publish(MakeManifest({block}), {}), IsError(code, "injected"));
  EXPECT_THAT(lossy.catalog->BeginPush("m", ""), IsError(code, "injected"));
  EXPECT_THAT(lossy.catalog->GetModel("m"), IsError(code, "injected"));
  EXPECT_THAT(lossy.catalog->ListModels("", 0, ""), IsError(code, "injected"));
  lossy.Calm();
  EXPECT_THAT(PushBlocks(lossy.catalog.get(), "m", {block}), IsOk());
}

}  // namespace
}  // namespace ballast
