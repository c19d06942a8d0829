// Backup, restore, export and import, between registries in the process; stopped at every
// step, cut at every frame, and with a damaged byte at many places.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "ballast/local.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/base/status.h"
#include "tests/client/registry.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kSchema[] =
    R"({"ballast_schema":1,"entries":[{"key":"a","dtype":"uint8","shape":[-1]}]})";

// What a registry shows: everything that a restore brings back.
std::string Shown(Client* client) {
  std::string out;
  const auto models = client->AllModels("");
  if (!models.ok()) return models.status().ToString();
  for (const ModelDescription& model : *models) {
    absl::StrAppend(&out, model.model, " latest ", model.latest, "\n");
    for (const auto& [alias, version] : model.aliases) {
      absl::StrAppend(&out, "  @", alias, " ", version, "\n");
    }
    if (model.has_schema) absl::StrAppend(&out, "  ", *client->GetBoundSchema(model.model), "\n");
    const auto retention = client->GetRetention(model.model);
    if (retention.ok() && retention->has_value()) {
      absl::StrAppend(&out, "  keep ", (*retention)->keep_last, " ",
                      absl::FormatDuration((*retention)->keep_newer_than));
      for (const auto& label : (*retention)->keep_labelled) {
        absl::StrAppend(&out, " ", label.name, "=", label.value.value_or("*"));
      }
      out += "\n";
    }
    const auto versions = client->AllVersions(model.model);
    if (!versions.ok()) return versions.status().ToString();
    for (const VersionDescription& v : *versions) {
      absl::StrAppend(&out, "  ", v.version, " ", v.digest.Hex(), " ", FormatName(v.format), " ",
                      absl::FormatTime(absl::RFC3339_full, v.created, absl::UTCTimeZone()), " ",
                      v.creator, " ", v.message, " parent ", v.parent);
      for (const auto& [name, value] : v.labels) absl::StrAppend(&out, " ", name, "=", value);
      out += "\n";
    }
  }
  return out;
}

class BackupTest : public ::testing::Test {
 protected:
  PushResult Push(Client* client, const std::string& model, uint64_t seed,
                  const PushOptions& options = {}, size_t size = 3000) {
    const std::string path = files_.Write(
        "in", SafetensorsFile({NoiseTensor("a", size, seed), NoiseTensor("b", 40, seed + 1000)}));
    auto pushed = client->PushFile(path, model, options);
    EXPECT_TRUE(pushed.ok()) << pushed.status();
    return pushed.ok() ? *pushed : PushResult();
  }

  // Three models: history with a gap, an alias, rules, a schema; one has a schema only.
  void Populate(Client* client) {
    PushOptions options;
    options.message = "first of \xC3\xA4ll";
    options.labels = {{"release", "1.0"}, {"empty", ""}};
    Push(client, "team/net", 1, options, 2'500'000);
    Push(client, "team/net", 2);
    options.parent = "team/net:1";
    options.alias = "prod";
    Push(client, "team/net", 3, options);
    ASSERT_TRUE(client->DeleteVersion("team/net", 2).ok());
    ASSERT_TRUE(
        client->SetRetention("team/net", RetentionRules{2, absl::Hours(24), {{"release", "1.0"}}})
            .ok());
    Push(client, "team", 1, {}, 2'500'000);
    ASSERT_TRUE(client->BindSchema("gated", kSchema).ok());
  }

  const TestFolder files_;
  const TestFolder out_;
  const std::string dir_ = out_.Path("backup");
  Registry source_, target_;
  const std::unique_ptr<Client> from_ = source_.NewClient();
  const std::unique_ptr<Client> to_ = target_.NewClient();
};

TEST_F(BackupTest, ARestoreBringsEverythingBack) {
  Populate(from_.get());
  const auto saved = from_->Backup(dir_);
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(saved->models, 3u);
  EXPECT_EQ(saved->versions, 3u);
  EXPECT_EQ(saved->versions_new, 3u);
  const auto check = CheckBackup(dir_, {}, Limits());
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->models, 3u);
  EXPECT_EQ(check->versions, 3u);
  EXPECT_EQ(check->bytes, saved->bytes_new);

  const auto restored = to_->Restore(dir_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->versions_new, 3u);
  EXPECT_EQ(Shown(to_.get()), Shown(from_.get()));
  for (const std::string reference : {"team/net:1", "team/net@prod", "team"}) {
    PullOptions options;
    options.verify_sha256 = true;
    const std::string file = files_.Path("out");
    options.overwrite = true;
    ASSERT_TRUE(to_->PullFile(reference, file, options).ok());
    const std::string pulled = ReadFileBytes(file);
    ASSERT_TRUE(from_->PullFile(reference, file, options).ok());
    EXPECT_EQ(pulled, ReadFileBytes(file));
  }
  EXPECT_EQ(Push(to_.get(), "team/net", 9).version, 4u);
}

TEST_F(BackupTest, RestoringTwiceChangesNothing) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  ASSERT_TRUE(to_->Restore(dir_).ok());
  const std::string shown = Shown(to_.get());
  const auto again = to_->Restore(dir_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->versions_new, 0u);
  EXPECT_EQ(again->versions_there, 3u);
  EXPECT_EQ(Shown(to_.get()), shown);
  EXPECT_EQ(to_->AliasHistory("team/net")->size(), 1u);
  EXPECT_EQ(from_->Restore(dir_)->versions_new, 0u) << "also where it came from";
}

TEST_F(BackupTest, WhatIsThereIsNotFetchedAgain) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const auto nothing = from_->Backup(dir_);
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  EXPECT_EQ(nothing->versions, 3u);
  EXPECT_EQ(nothing->versions_new, 0u);
  EXPECT_EQ(nothing->bytes_new, 0u);
  Push(from_.get(), "team/net", 3);  // known content under a new number
  Push(from_.get(), "team/net", 4);
  const auto more = from_->Backup(dir_);
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->versions_new, 2u);
  EXPECT_EQ(more->bytes_new, 3040u);
  ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_EQ(Shown(to_.get()), Shown(from_.get()));
}

TEST_F(BackupTest, WhatWasDeletedStaysDeletedAndItsNumberUsed) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(from_.get(), "team/net", 5);
  ASSERT_TRUE(from_->DeleteVersion("team/net", 4).ok());
  ASSERT_TRUE(from_->DeleteVersion("team", 1).ok());
  ASSERT_TRUE(from_->DeleteVersion("team/net", 1).ok());
  const auto saved = from_->Backup(dir_);
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(saved->versions, 1u);
  ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_EQ(Shown(to_.get()), Shown(from_.get()));
  EXPECT_EQ(Push(to_.get(), "team/net", 9).version, 5u);
}

TEST_F(BackupTest, AnExportIsImportedUnderAnotherName) {
  Populate(from_.get());
  BackupOptions only;
  only.model = "team/net";
  ASSERT_TRUE(from_->Backup(dir_, only).ok());
  RestoreOptions options;
  options.single = true;
  options.as = "theirs/net";
  const auto imported = to_->Restore(dir_, options);
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->versions_new, 2u);
  EXPECT_EQ(to_->GetVersion("theirs/net@prod")->digest, from_->GetVersion("team/net:3")->digest);
  EXPECT_EQ(to_->AllModels("")->size(), 1u);
  only.model = "nothing";
  EXPECT_EQ(from_->Backup(dir_ + "2", only).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(fs::exists(dir_ + "2"));
  ASSERT_TRUE(from_->Backup(dir_).ok());
  EXPECT_THAT(std::string(to_->Restore(dir_, options).status().message()),
              HasSubstr("the folder holds 3 models, want one to import"));
}

TEST_F(BackupTest, AnotherRegistryIsNotMixedIn) {
  Push(from_.get(), "m", 1);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(to_.get(), "m", 2);
  const auto saved = to_->Backup(dir_);
  EXPECT_EQ(saved.status().code(), absl::StatusCode::kFailedPrecondition) << saved.status();
  EXPECT_THAT(std::string(saved.status().message()), HasSubstr("want a folder of its own"));
  const auto restored = to_->Restore(dir_);
  EXPECT_EQ(restored.status().code(), absl::StatusCode::kFailedPrecondition) << restored.status();
  EXPECT_THAT(std::string(restored.status().message()), HasSubstr("m:1: the server has it with"));
}

TEST_F(BackupTest, ANumberThatTheServerHasUsedUpIsRefused) {
  Push(from_.get(), "m", 1);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(to_.get(), "m", 1);
  ASSERT_TRUE(to_->DeleteVersion("m", 1).ok());
  const auto restored = to_->Restore(dir_);
  EXPECT_EQ(restored.status().code(), absl::StatusCode::kFailedPrecondition) << restored.status();
  EXPECT_THAT(std::string(restored.status().message()),
              HasSubstr("has number 1, want one above the highest that was used, which is 1; it is "
                        "deleted there: undelete m:1, or import DIR OTHERNAME"));
  ASSERT_TRUE(to_->UndeleteVersion("m", 1).ok());
  EXPECT_TRUE(to_->Restore(dir_).ok());
}

TEST_F(BackupTest, AModelThatFailsDoesNotStopTheOthers) {
  for (const std::string model : {"a", "b", "c"}) Push(from_.get(), model, model[0]);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(to_.get(), "a", 50);
  const std::string file = dir_ + "/models/b/1.version";
  std::string bytes = ReadFileBytes(file);
  bytes[30] ^= 1;
  std::ofstream(file, std::ios::binary) << bytes;
  std::vector<std::string> lines;
  RestoreReport done;
  RestoreOptions options;
  options.warn = [&](const std::string& line) { lines.push_back(line); };
  options.done = &done;
  const absl::Status restored = to_->Restore(dir_, options).status();
  EXPECT_EQ(restored.code(), absl::StatusCode::kDataLoss) << restored;
  EXPECT_THAT(std::string(restored.message()), HasSubstr("2 models could not be restored: b: "));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr("a:1: the server has it with"));
  EXPECT_THAT(lines[1], HasSubstr("b: "));
  EXPECT_EQ(done.models, 1u);
  EXPECT_EQ(done.versions_new, 1u);
  EXPECT_TRUE(to_->GetVersion("c:1").ok());
}

TEST_F(BackupTest, AModelThatIsThereKeepsItsAliasesSchemaAndRules) {
  constexpr char kOther[] = R"({"ballast_schema":1,"entries":[]})";
  Populate(from_.get());
  ASSERT_TRUE(from_->SetAlias("team/net:1", "old").ok());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const std::string before = Shown(from_.get());
  ASSERT_TRUE(from_->SetAlias("team/net:1", "prod").ok());
  ASSERT_TRUE(from_->DeleteAlias("team/net", "old").ok());
  ASSERT_TRUE(from_->SetRetention("team/net", RetentionRules{7, absl::Hours(1), {}}).ok());
  ASSERT_TRUE(from_->BindSchema("gated", kOther).ok());
  const std::string changed = Shown(from_.get());
  std::vector<std::string> lines;
  RestoreOptions options;
  options.warn = [&](const std::string& line) { lines.push_back(line); };
  const auto restored = from_->Restore(dir_, options);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(restored->models, 3u);
  EXPECT_EQ(Shown(from_.get()), changed);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr("gated: left as the server has it: another schema is bound"));
  EXPECT_THAT(lines[1], HasSubstr("team/net: left as the server has it: @old is not set, in the "
                                  "folder 1; @prod is 1, in the folder 3; the retention rules"));

  lines.clear();
  options.overwrite_facts = true;
  ASSERT_TRUE(from_->Restore(dir_, options).ok());
  EXPECT_TRUE(lines.empty());
  EXPECT_EQ(Shown(from_.get()), before);
}

TEST_F(BackupTest, ARestoreThatWasStoppedBeforeItsLastVersionBringsTheFacts) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  RestoreOptions stopped;
  int steps = 0;
  stopped.step = [&](absl::string_view) {
    return ++steps == 3 ? absl::AbortedError("stopped") : absl::OkStatus();
  };
  EXPECT_EQ(to_->Restore(dir_, stopped).status().message(), "stopped");
  ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_EQ(to_->GetVersion("team/net@prod")->version, 3u);
}

// Between the two lookups of a model an alias moves and a version comes.
TEST_F(BackupTest, AModelIsOfOneInstantHoweverItChanges) {
  Populate(from_.get());
  int changes = 0;
  const std::unique_ptr<Client> other = source_.NewClient();
  const std::unique_ptr<Client> watched = source_.NewClient([&](const std::string& method) {
    if (method != "ListVersions" || changes > 2) return false;
    PushOptions options;
    options.alias = "prod";
    Push(other.get(), "team/net", 100 + changes++, options);
    return false;
  });
  BackupOptions only;
  only.model = "team/net";
  const auto saved = watched->Backup(dir_, only);
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(changes, 3);
  ASSERT_TRUE(CheckBackup(dir_, {}, Limits()).ok());
  ASSERT_TRUE(to_->Restore(dir_).ok());
  const auto model = to_->GetModel("team/net");
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->aliases.at("prod"), model->latest) << "they moved together";
}

TEST_F(BackupTest, AVersionThatIsDeletedMeanwhileIsLeftOut) {
  Populate(from_.get());
  bool deleted = false;
  const std::unique_ptr<Client> other = source_.NewClient();
  const std::unique_ptr<Client> watched = source_.NewClient([&](const std::string& method) {
    if (method != "Pull" || deleted) return false;
    deleted = true;
    EXPECT_TRUE(other->DeleteVersion("team/net", 1).ok());
    return false;
  });
  BackupOptions only;
  only.model = "team/net";
  const auto saved = watched->Backup(dir_, only);
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_TRUE(deleted);
  EXPECT_EQ(saved->versions, 1u);
  ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_TRUE(to_->GetVersion("team/net@prod").ok());
  EXPECT_FALSE(to_->GetVersion("team/net:1").ok());
}

// Runs `run(step hook)` again and again, stopped one step later each time, until it is not
// stopped any more; returns how often it was.
int StopAtEveryStep(
    const std::function<absl::Status(std::function<absl::Status(absl::string_view)>)>& run,
    const std::function<void(int)>& after) {
  for (int stop = 0;; ++stop) {
    int step = 0;
    const absl::Status status = run([&](absl::string_view) {
      return step++ == stop ? absl::AbortedError("stopped") : absl::OkStatus();
    });
    if (status.ok()) return stop;
    EXPECT_EQ(status.message(), "stopped") << status;
    after(stop);
    if (::testing::Test::HasFailure()) return stop;
  }
}

TEST_F(BackupTest, StoppedAnywhereABackupIsTheOldOrTheNewOne) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const std::string before = Shown(from_.get());
  PushOptions options;
  options.alias = "prod";
  Push(from_.get(), "team/net", 50, options);
  Push(from_.get(), "new", 51);
  const std::string good = out_.Path("good");
  fs::copy(dir_, good, fs::copy_options::recursive);
  std::set<std::string> seen;
  const int steps = StopAtEveryStep(
      [&](std::function<absl::Status(absl::string_view)> hook) {
        fs::remove_all(dir_);
        fs::copy(good, dir_, fs::copy_options::recursive);
        BackupOptions stopped;
        stopped.step = std::move(hook);
        return from_->Backup(dir_, stopped).status();
      },
      [&](int stop) {
        // What is there now can be restored, model by model old or new.
        Registry fresh;
        const auto client = fresh.NewClient();
        ASSERT_TRUE(CheckBackup(dir_, {}, Limits()).ok()) << stop;
        ASSERT_TRUE(client->Restore(dir_).ok()) << stop;
        const auto prod = client->GetVersion("team/net@prod");
        ASSERT_TRUE(prod.ok()) << prod.status();
        EXPECT_TRUE(prod->version == 3 || prod->version == 4);
        seen.insert(absl::StrCat(prod->version));
        // And the same backup again finishes it.
        ASSERT_TRUE(from_->Backup(dir_).ok()) << stop;
        Registry whole;
        const auto complete = whole.NewClient();
        ASSERT_TRUE(complete->Restore(dir_).ok()) << stop;
        EXPECT_EQ(Shown(complete.get()), Shown(from_.get())) << stop;
      });
  EXPECT_GT(steps, 6);
  EXPECT_THAT(seen, ElementsAre("3", "4"));
}

TEST_F(BackupTest, StoppedAnywhereARestoreGoesOn) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const int steps = StopAtEveryStep(
      [&](std::function<absl::Status(absl::string_view)> hook) {
        Registry fresh;
        const auto client = fresh.NewClient();
        RestoreOptions options;
        options.step = std::move(hook);
        const absl::Status stopped = client->Restore(dir_, options).status();
        // No alias names what is not there, and the same restore again finishes it; only a
        // stop between a model's last version and its last fact needs to be told so.
        EXPECT_TRUE(client->Restore(dir_).ok());
        RestoreOptions overwrite;
        overwrite.overwrite_facts = true;
        EXPECT_TRUE(client->Restore(dir_, overwrite).ok());
        EXPECT_EQ(Shown(client.get()), Shown(from_.get()));
        return stopped;
      },
      [](int) {});
  EXPECT_GE(steps, 6);
}

TEST_F(BackupTest, ACutConnectionIsResumed) {
  Populate(from_.get());
  std::map<std::string, int> frames;
  ClientOptions options;
  options.retries = 3;
  const std::unique_ptr<Client> shaky = source_.NewClient(
      [&](const std::string& method) { return ++frames[method] % 7 == 0; }, options);
  const auto saved = shaky->Backup(dir_);
  ASSERT_TRUE(saved.ok()) << saved.status();
  const std::unique_ptr<Client> shaky_target = target_.NewClient(
      [&](const std::string& method) { return ++frames[method] % 11 == 0; }, options);
  const auto restored = shaky_target->Restore(dir_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(Shown(to_.get()), Shown(from_.get()));
}

TEST_F(BackupTest, AFlippedByteIsFoundAndNeverRestored) {
  Push(from_.get(), "m", 1);
  PushOptions options;
  options.alias = "prod";
  Push(from_.get(), "m", 2, options);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const std::string good = Shown(from_.get());
  const char* seed = std::getenv("BALLAST_SEED");
  std::mt19937_64 random(seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10));
  int found = 0, harmless = 0;
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(dir_)) {
    if (entry.is_regular_file() && entry.file_size() > 0) names.push_back(entry.path().string());
  }
  ASSERT_EQ(names.size(), 5u) << "FORMAT, a pack, model.json, two versions";
  for (const std::string& name : names) {
    const std::string bytes = ReadFileBytes(name);
    for (int i = 0; i < 60; ++i) {
      const size_t at =
          i < 20 ? i % bytes.size()
                 : (i < 40 ? bytes.size() - 1 - random() % std::min<size_t>(bytes.size(), 60)
                           : random() % bytes.size());
      std::string bad = bytes;
      bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
      std::ofstream(name, std::ios::binary) << bad;
      const auto check = CheckBackup(dir_, {}, Limits());
      Registry fresh;
      const auto client = fresh.NewClient();
      const auto restored = client->Restore(dir_);
      EXPECT_EQ(check.ok(), restored.ok()) << name << " at " << at << check.status();
      ++(check.ok() ? harmless : found);
      if (restored.ok()) {
        EXPECT_EQ(Shown(client.get()), good);
        continue;
      }
      EXPECT_THAT(std::string(check.status().message()), HasSubstr(dir_)) << "names the folder";
      EXPECT_EQ(check.status().message().find('\n'), absl::string_view::npos);
    }
    std::ofstream(name, std::ios::binary) << bytes;
  }
  EXPECT_GT(found, 270);
  EXPECT_LT(harmless, 10) << "only the end of FORMAT's line";
}

TEST_F(BackupTest, ADamagedPackIsFetchedAgainOnceItIsTakenAway) {
  Populate(from_.get());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const std::string pack = dir_ + "/packs/00000001.pack";
  std::string bytes = ReadFileBytes(pack);
  bytes[100] ^= 1;
  std::ofstream(pack, std::ios::binary) << bytes;
  const auto check = CheckBackup(dir_, {}, Limits());
  EXPECT_EQ(check.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(check.status().message()), HasSubstr("fails its SHA-256"));
  fs::remove(pack);
  EXPECT_EQ(CheckBackup(dir_, {}, Limits()).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  EXPECT_TRUE(CheckBackup(dir_, {}, Limits()).ok());
}

TEST_F(BackupTest, WhatIsSoundIsSavedBesideWhatIsDamaged) {
  PushOptions options;
  options.alias = "prod";
  Push(from_.get(), "half", 1, options);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(from_.get(), "half", 2, options);
  Push(from_.get(), "half", 3);
  Push(from_.get(), "all", 4);
  Push(from_.get(), "sound", 5);
  for (const uint64_t seed : {2, 4}) {
    const Digest digest = Sha256Of(Noise(3000, seed));
    source_.engine()->blobs()->Corrupt(digest, Noise(3000, seed + 50));
  }
  std::vector<std::string> lines;
  BackupReport done;
  BackupOptions watched;
  watched.warn = [&](const std::string& line) { lines.push_back(line); };
  watched.done = &done;
  const absl::Status saved = from_->Backup(dir_, watched).status();
  EXPECT_EQ(saved.code(), absl::StatusCode::kDataLoss) << saved;
  EXPECT_THAT(std::string(saved.message()), HasSubstr("2 models could not be copied: all:1: "));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[0], HasSubstr("all:1: "));
  EXPECT_THAT(lines[1], HasSubstr("half:2: "));
  EXPECT_EQ(done.models, 2u);
  EXPECT_EQ(done.versions, 3u);

  ASSERT_TRUE(CheckBackup(dir_, {}, Limits()).ok());
  ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_EQ(to_->AllModels("")->size(), 2u);
  EXPECT_EQ(to_->GetVersion("half@prod")->version, 1u) << "where the backup before had it";
  EXPECT_TRUE(to_->GetVersion("half:3").ok());
  EXPECT_FALSE(to_->GetVersion("half:2").ok());
  EXPECT_TRUE(to_->GetVersion("sound:1").ok());
}

TEST_F(BackupTest, WhatIsSoundIsRestoredBesideADamagedPack) {
  Push(from_.get(), "hit", 1);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(from_.get(), "sound", 2);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  const std::string pack = dir_ + "/packs/00000001.pack";
  std::string bytes = ReadFileBytes(pack);
  bytes[bytes.size() - 80] ^= 1;  // in its index
  std::ofstream(pack, std::ios::binary) << bytes;
  std::vector<std::string> lines;
  const auto check =
      CheckBackup(dir_, {}, Limits(), [&](const std::string& line) { lines.push_back(line); });
  EXPECT_EQ(check.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("and one is damaged: " + pack)));
  const absl::Status restored = to_->Restore(dir_).status();
  EXPECT_EQ(restored.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(restored.message()), HasSubstr("1 model could not be restored: hit:1: "));
  EXPECT_TRUE(to_->GetVersion("sound:1").ok());
  EXPECT_THAT(std::string(from_->Backup(dir_).status().message()), HasSubstr("move it away"));
}

TEST_F(BackupTest, NumbersOfAModelWithoutVersionsAreNotUsedAgain) {
  Push(from_.get(), "gone", 1);
  Push(from_.get(), "gone", 2);
  ASSERT_TRUE(from_->BindSchema("both", kSchema).ok());
  Push(from_.get(), "kept", 3);
  ASSERT_TRUE(from_->DeleteVersion("gone", 1).ok());
  ASSERT_TRUE(from_->DeleteVersion("gone", 2).ok());
  ASSERT_TRUE(from_->Backup(dir_).ok());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_EQ(to_->GetModel("gone")->numbers_used, 2u);
  EXPECT_EQ(Push(to_.get(), "gone", 4).version, 3u);
  EXPECT_EQ(Push(to_.get(), "kept", 5).version, 2u);
}

TEST_F(BackupTest, WhatABackupDidNotFinishIsTold) {
  Push(from_.get(), "done", 1);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  Push(from_.get(), "new", 2);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  fs::remove(dir_ + "/models/new/model.json");
  std::vector<std::string> lines;
  const auto warn = [&](const std::string& line) { lines.push_back(line); };
  const auto check = CheckBackup(dir_, {}, Limits(), warn);
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_EQ(check->models, 1u);
  RestoreOptions options;
  options.warn = warn;
  ASSERT_TRUE(to_->Restore(dir_, options).ok());
  EXPECT_THAT(lines, ElementsAre(HasSubstr("new: left out: "), HasSubstr("new: left out: ")));
  fs::remove_all(dir_ + "/models");
  EXPECT_THAT(std::string(CheckBackup(dir_, {}, Limits()).status().message()),
              HasSubstr("has no models/"));
}

TEST_F(BackupTest, ADamagedVersionThatTheFolderHasStays) {
  Push(from_.get(), "m", 1);
  ASSERT_TRUE(from_->Backup(dir_).ok());
  source_.engine()->blobs()->Corrupt(Sha256Of(Noise(3000, 1)), Noise(3000, 51));
  ASSERT_TRUE(from_->Backup(dir_).ok());
  ASSERT_TRUE(to_->Restore(dir_).ok());
  EXPECT_TRUE(to_->GetVersion("m:1").ok());
}

TEST_F(BackupTest, AFolderWhoseMakingWasCutShortIsTaken) {
  Push(from_.get(), "m", 1);
  fs::create_directory(dir_);
  std::ofstream(dir_ + "/LOCK");
  std::ofstream(dir_ + "/.ballast-tmp-AAAAAA") << "half";
  ASSERT_TRUE(from_->Backup(dir_).ok());
  fs::remove_all(dir_ + "/models");
  fs::remove_all(dir_ + "/packs");
  std::ofstream(dir_ + "/.ballast-tmp-AAAAAA") << "half";
  ASSERT_TRUE(from_->Backup(dir_).ok());
  EXPECT_TRUE(CheckBackup(dir_, {}, Limits()).ok());
  EXPECT_FALSE(fs::exists(dir_ + "/.ballast-tmp-AAAAAA"));
}

TEST_F(BackupTest, FoldersThatAreNoneAreRefused) {
  Push(from_.get(), "m", 1);
  EXPECT_EQ(to_->Restore(dir_).status().code(), absl::StatusCode::kNotFound);
  fs::create_directory(dir_);
  std::ofstream(dir_ + "/thesis.txt") << "do not touch";
  EXPECT_THAT(std::string(from_->Backup(dir_).status().message()),
              HasSubstr("holds thesis.txt and no FORMAT"));
  EXPECT_THAT(std::string(to_->Restore(dir_).status().message()), HasSubstr("has no FORMAT"));
  fs::remove(dir_ + "/thesis.txt");
  ASSERT_TRUE(from_->Backup(dir_).ok());
  std::ofstream(dir_ + "/FORMAT") << "ballast-backup 2\n";
  for (const absl::Status& status : {from_->Backup(dir_).status(), to_->Restore(dir_).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("format is 2, want at most 1: use a newer ballast"));
  }
}

}  // namespace
}  // namespace ballast
