// Names and lists: pages, aliases, capabilities.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "proto/wire.h"
#include "storage/base/limits.h"
#include "tests/server/server_testing.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// Every item of a listing, page by page. `take` appends a page's items.
template <typename Response, typename Request>
std::vector<std::string> AllPages(
    const TestServer& server, const std::string& method, Request request,
    const std::function<void(const Response&, std::vector<std::string>*)>& take) {
  std::vector<std::string> items;
  for (int pages = 0; pages < 1000; ++pages) {
    const Answers answers = Exchange(server, method, {EncodeMessage(request)});
    EXPECT_THAT(answers.status, IsOk());
    if (!answers.status.ok()) return items;
    EXPECT_LT(answers.frames.at(0).size_bytes(), 4u << 20);
    Response response;
    EXPECT_THAT(DecodeMessage(answers.frames.at(0), &response), IsOk());
    const size_t before = items.size();
    take(response, &items);
    EXPECT_GT(items.size(), before) << "an empty page";
    if (request.page_size() > 0) {
      EXPECT_LE(items.size() - before, request.page_size());
    }
    if (response.next_page_token().empty()) return items;
    request.set_page_token(response.next_page_token());
  }
  ADD_FAILURE() << method << " never ends";
  return items;
}

void TakeModels(const v1::ListModelsResponse& page, std::vector<std::string>* out) {
  for (const v1::Model& model : page.models()) out->push_back(model.model());
}
void TakeVersions(const v1::ListVersionsResponse& page, std::vector<std::string>* out) {
  for (const v1::Version& version : page.versions())
    out->push_back(absl::StrCat(version.version()));
}
void TakeEntries(const v1::ListEntriesResponse& page, std::vector<std::string>* out) {
  for (const v1::Entry& entry : page.entries()) out->push_back(entry.key());
}

class Listings : public ::testing::TestWithParam<std::string> {
 protected:
  TestServer server_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Engines, Listings, ::testing::Values("memory", "rocksdb"),
                         [](const auto& info) { return info.param; });

TEST_P(Listings, OfModelsPageToTheEndWithEveryPageSize) {
  std::vector<std::string> all;
  for (const char* name : {"a", "a/b", "a/c", "b", "b-1", "zebra", "zoo/x/y"}) {
    MustPush(server_, name, SmallModel());
    all.push_back(name);
  }
  v1::ListModelsRequest request;
  for (uint32_t size = 0; size <= 9; ++size) {
    request.set_page_size(size);
    EXPECT_EQ(AllPages<v1::ListModelsResponse>(server_, "ListModels", request, TakeModels), all);
  }
  request.set_page_size(2);
  request.set_prefix("a/");
  EXPECT_THAT(AllPages<v1::ListModelsResponse>(server_, "ListModels", request, TakeModels),
              ElementsAre("a/b", "a/c"));
}

TEST_P(Listings, OfVersionsPageToTheEndWithEveryPageSize) {
  std::vector<std::string> all;
  for (int i = 1; i <= 7; ++i) {
    MustPush(server_, "m", SmallModel(static_cast<uint8_t>(i)));
    all.insert(all.begin(), absl::StrCat(i));
  }
  v1::ListVersionsRequest request;
  request.set_model("m");
  for (uint32_t size = 0; size <= 9; ++size) {
    request.set_page_size(size);
    EXPECT_EQ(AllPages<v1::ListVersionsResponse>(server_, "ListVersions", request, TakeVersions),
              all);
  }
}

TEST_P(Listings, OfEntriesPageToTheEndWithEveryPageSize) {
  MustPush(server_, "m", SmallModel());
  v1::ListEntriesRequest request;
  request.set_reference("m");
  for (uint32_t size = 0; size <= 7; ++size) {
    request.set_page_size(size);
    EXPECT_THAT(AllPages<v1::ListEntriesResponse>(server_, "ListEntries", request, TakeEntries),
                ElementsAre("fc.weight", "fc.bias", "steps", "none", "mask"));
  }
}

TEST(ListEntries, SaysWhatAnEntryIs) {
  TestServer server;
  const std::vector<Tensor> tensors = SmallModel();
  MustPush(server, "m", tensors);
  v1::ListEntriesRequest request;
  request.set_reference("m:1");
  request.set_page_size(1);
  auto page = Unary<v1::ListEntriesResponse>(server, "ListEntries", request);
  ASSERT_THAT(page, IsOk());
  EXPECT_EQ(page->version().version(), 1u);
  EXPECT_EQ(page->entries(0).dtype(), "float32");
  EXPECT_THAT(page->entries(0).shape(), ElementsAre(4, 3));
  EXPECT_EQ(page->entries(0).role(), v1::ROLE_WEIGHTS);
  EXPECT_THAT(page->entries(0).block_digests(), IsEmpty());
  request.set_with_blocks(true);
  page = Unary<v1::ListEntriesResponse>(server, "ListEntries", request);
  EXPECT_EQ(page->entries(0).block_digests(), std::string(Sha256Of(tensors[0].bytes).View()));
  EXPECT_THAT(page->entries(0).block_crc32s(), ElementsAre(Crc32(tensors[0].bytes)));
}

// Items as large as their limits allow must not make a page that no client takes.
TEST(Listings, NoPageReaches4MiB) {
  Limits limits;
  limits.label_bytes_max = 1u << 20;
  TestServer server("memory", limits);
  for (int i = 0; i < 6; ++i) {
    ManifestPush push("m", {});
    push.header.set_message(std::string(1000'000, 'x'));
    ASSERT_THAT(push.Run(server).status, IsOk());
  }
  v1::ListVersionsRequest versions;
  versions.set_model("m");
  EXPECT_THAT(AllPages<v1::ListVersionsResponse>(server, "ListVersions", versions, TakeVersions),
              ElementsAre("6", "5", "4", "3", "2", "1"));

  std::vector<std::string> names;
  const std::string part(60, 'a');
  for (int i = 100; i < 800; ++i) {
    names.push_back(absl::StrCat("n", i));
    MustPush(server, names.back(), {});
    for (int alias = 0; alias < 100; ++alias) {
      ASSERT_THAT(
          server.catalog()->SetAlias(names.back(), absl::StrCat(part, alias), 1, std::nullopt, {}),
          IsOk());
    }
  }
  v1::ListModelsRequest models;
  models.set_prefix("n");
  EXPECT_EQ(AllPages<v1::ListModelsResponse>(server, "ListModels", models, TakeModels), names);
}

TEST(Listings, EntriesWithManyBlocksEndAPageEarly) {
  TestServer server;
  std::vector<Tensor> tensors;
  std::vector<std::string> keys;
  for (int i = 0; i < 5; ++i) {
    keys.push_back(absl::StrCat(std::string(4000, 'k'), i));
    tensors.push_back(MakeTensor(keys.back(), DType::kUint8, {1}));
  }
  for (int i = 0; i < 900; ++i) {
    keys.push_back(absl::StrCat(std::string(4000, 'l'), i));
    tensors.push_back(MakeTensor(keys.back(), DType::kUint8, {1}));
  }
  MustPush(server, "m", tensors);
  v1::ListEntriesRequest request;
  request.set_reference("m");
  request.set_with_blocks(true);
  EXPECT_EQ(AllPages<v1::ListEntriesResponse>(server, "ListEntries", request, TakeEntries), keys);
}

TEST(Listings, RefusePageTokensThatAreNone) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  for (const char* token : {"x", "-1", "99999999999999999999999", "a b"}) {
    v1::ListEntriesRequest entries;
    entries.set_reference("m");
    entries.set_page_token(token);
    EXPECT_THAT(Unary<v1::ListEntriesResponse>(server, "ListEntries", entries),
                Fails(kInvalid, Reason::kMalformed, "page token"));
    v1::ListVersionsRequest versions;
    versions.set_model("m");
    versions.set_page_token(token);
    EXPECT_THAT(Unary<v1::ListVersionsResponse>(server, "ListVersions", versions),
                Fails(kInvalid, Reason::kMalformed, "page token"));
  }
  v1::ListModelsRequest models;
  models.set_page_token("No Model");
  EXPECT_THAT(Unary<v1::ListModelsResponse>(server, "ListModels", models),
              Fails(kInvalid, Reason::kMalformed, "page token"));
}

// The token of the first page of two.
template <typename Response, typename Request>
std::string FirstToken(const TestServer& server, const std::string& method, Request request) {
  request.set_page_size(1);
  const auto page = Unary<Response>(server, method, request);
  EXPECT_THAT(page, IsOk());
  EXPECT_NE(page->next_page_token(), "");
  return page->next_page_token();
}

TEST(Listings, RefusePageTokensOfOtherListings) {
  TestServer server;
  for (const char* model : {"a/m", "a/n", "b/m", "b/n"}) {
    MustPush(server, model, SmallModel(1));
    MustPush(server, model, SmallModel(2));
  }
  v1::ListModelsRequest models;
  models.set_prefix("a/");
  models.set_page_token(FirstToken<v1::ListModelsResponse>(server, "ListModels", models));
  EXPECT_THAT(Unary<v1::ListModelsResponse>(server, "ListModels", models), IsOk());
  models.set_prefix("b/");
  EXPECT_THAT(Unary<v1::ListModelsResponse>(server, "ListModels", models),
              Fails(kInvalid, Reason::kMalformed, "list models of \"b/\": page token is \"a/m."));

  v1::ListVersionsRequest versions;
  versions.set_model("a/m");
  versions.set_page_token(FirstToken<v1::ListVersionsResponse>(server, "ListVersions", versions));
  EXPECT_THAT(Unary<v1::ListVersionsResponse>(server, "ListVersions", versions), IsOk());
  versions.set_model("a/n");
  EXPECT_THAT(Unary<v1::ListVersionsResponse>(server, "ListVersions", versions),
              Fails(kInvalid, Reason::kMalformed, "list versions of \"a/n\": page token is \"2."));

  v1::ListEntriesRequest entries;
  entries.set_reference("a/m");
  entries.set_page_token(FirstToken<v1::ListEntriesResponse>(server, "ListEntries", entries));
  EXPECT_THAT(Unary<v1::ListEntriesResponse>(server, "ListEntries", entries), IsOk());
  versions.set_page_token(entries.page_token());
  EXPECT_THAT(Unary<v1::ListVersionsResponse>(server, "ListVersions", versions),
              Fails(kInvalid, Reason::kMalformed, "page token"));
  // What `a/m` means has changed: its pages would mix two versions.
  MustPush(server, "a/m", SmallModel(3));
  EXPECT_THAT(Unary<v1::ListEntriesResponse>(server, "ListEntries", entries),
              Fails(kInvalid, Reason::kMalformed, "list entries of \"a/m:3\": page token is"));
  entries.set_reference("a/m:2");
  EXPECT_THAT(Unary<v1::ListEntriesResponse>(server, "ListEntries", entries), IsOk());
}

TEST(Listings, AnEntryOfManyBlocksIsContinuedOnTheNextPage) {
  TestServer server;
  // 120 GiB of zeros: one block, named 122880 times.
  const std::string zeros(kBlockBytes, '\0');
  ManifestPush push("m", {});
  push.blocks[Sha256Of(zeros)] = zeros;
  ManifestEntry entry;
  entry.spec = {"huge", DType::kUint8, {122'880, kBlockBytes}, Kind::kUnknown, Role::kWeights};
  entry.blocks.assign(122'880, BlockRef{Sha256Of(zeros), 0});
  push.manifest.entries = {entry};
  entry.spec.key = "small";
  entry.spec.shape = {kBlockBytes};
  entry.blocks.resize(1);
  push.manifest.entries.push_back(entry);
  ASSERT_THAT(push.Run(server).status, IsOk());

  std::vector<ManifestEntry> entries;
  v1::ListEntriesRequest request;
  request.set_reference("m:1");
  request.set_with_blocks(true);
  size_t pages = 0;
  do {
    const Answers answers = Exchange(server, "ListEntries", {EncodeMessage(request)});
    ASSERT_THAT(answers.status, IsOk());
    EXPECT_LT(answers.frames.at(0).size_bytes(), 4u << 20);
    v1::ListEntriesResponse response;
    ASSERT_THAT(DecodeMessage(answers.frames.at(0), &response), IsOk());
    for (const v1::Entry& part : response.entries()) {
      EXPECT_THAT(wire::AddEntry(part, &entries), IsOk());
    }
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3u);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].blocks.size(), 122'880u);
  EXPECT_EQ(entries[1].spec.key, "small");
  EXPECT_EQ(entries[1].blocks.size(), 1u);
  // Without blocks there is nothing to cut.
  request.set_with_blocks(false);
  const auto bare = Unary<v1::ListEntriesResponse>(server, "ListEntries", request);
  ASSERT_THAT(bare, IsOk());
  EXPECT_EQ(bare->entries_size(), 2);
  EXPECT_EQ(bare->next_page_token(), "");
}

TEST(Catalog, SaysWhatDoesNotExist) {
  TestServer server;
  MustPush(server, "m", SmallModel());
  v1::GetModelRequest model;
  model.set_model("n");
  EXPECT_THAT(Unary<v1::Model>(server, "GetModel", model), IsError(kNoSuch, "n: no such model"));
  model.set_model("N");
  EXPECT_THAT(Unary<v1::Model>(server, "GetModel", model), IsError(kInvalid, ""));
  v1::ListVersionsRequest versions;
  versions.set_model("n");
  EXPECT_THAT(Unary<v1::ListVersionsResponse>(server, "ListVersions", versions),
              IsError(kNoSuch, "n: no such model"));
  v1::ListModelsRequest models;
  models.set_prefix("N");
  EXPECT_THAT(Unary<v1::ListModelsResponse>(server, "ListModels", models),
              IsError(kInvalid, "list models: "));
  for (const char* reference : {"m:2", "m@prod", "n"}) {
    v1::GetVersionRequest request;
    request.set_reference(reference);
    EXPECT_THAT(Unary<v1::Version>(server, "GetVersion", request), IsError(kNoSuch, reference));
  }
}

TEST(Catalog, GetModelCountsVersionsAndNamesAliases) {
  TestServer server;
  MustPush(server, "m", SmallModel(1), "old");
  MustPush(server, "m", SmallModel(2), "new");
  ASSERT_THAT(BindSchema(server, "m", SchemaJsonOf(SmallModel())), IsOk());
  v1::GetModelRequest request;
  request.set_model("m");
  const auto model = Unary<v1::Model>(server, "GetModel", request);
  ASSERT_THAT(model, IsOk());
  EXPECT_EQ(model->latest(), 2u);
  EXPECT_EQ(model->versions(), 2u);
  EXPECT_TRUE(model->has_schema());
  EXPECT_THAT(model->aliases(), UnorderedElementsAre(Pair("old", 1), Pair("new", 2)));
}

v1::SetAliasRequest AliasRequest(const std::string& reference, const std::string& alias) {
  v1::SetAliasRequest request;
  request.set_reference(reference);
  request.set_alias(alias);
  request.set_request_id(NextRequestId());
  return request;
}

TEST(SetAlias, MovesOnlyFromTheExpectedVersion) {
  for (const char* engine : {"memory", "rocksdb"}) {
    TestServer server(engine);
    for (uint8_t i = 1; i <= 3; ++i) MustPush(server, "m", SmallModel(i));
    const auto set = [&](const std::string& reference, std::optional<uint64_t> expected) {
      v1::SetAliasRequest request = AliasRequest(reference, "prod");
      if (expected) request.set_expected_version(*expected);
      return Unary<v1::SetAliasResponse>(server, "SetAlias", request);
    };
    EXPECT_THAT(set("m:1", 2), Fails(absl::StatusCode::kAborted, Reason::kConflict,
                                     "m@prod: alias is absent, want it at version 2"));
    const auto made = set("m:1", 0);
    ASSERT_THAT(made, IsOk());
    EXPECT_EQ(made->previous_version(), 0u);
    EXPECT_EQ(made->version().version(), 1u);
    EXPECT_THAT(set("m:2", 0), Fails(absl::StatusCode::kAborted, Reason::kConflict,
                                     "m@prod: alias is at version 1, want it absent"));
    EXPECT_EQ(set("m:2", 1)->previous_version(), 1u);
    EXPECT_EQ(set("m@latest", std::nullopt)->previous_version(), 2u);
    EXPECT_THAT(set("m:9", std::nullopt), IsError(kNoSuch, "m:9"));
  }
}

TEST(SetAlias, TheSameRequestIdGivesTheFirstAnswer) {
  TestServer server;
  MustPush(server, "m", SmallModel(1));
  MustPush(server, "m", SmallModel(2));
  v1::SetAliasRequest request = AliasRequest("m:2", "prod");
  request.set_request_id("once");
  request.set_expected_version(0);
  ASSERT_THAT(Unary<v1::SetAliasResponse>(server, "SetAlias", request), IsOk());
  const auto again = Unary<v1::SetAliasResponse>(server, "SetAlias", request);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->previous_version(), 0u);
}

TEST(SetAlias, RefusesNamesThatAreNone) {
  Limits limits;
  limits.aliases_max = 1;
  TestServer server("memory", limits);
  MustPush(server, "m", SmallModel());
  for (const char* alias : {"", "latest", "sha256", "Prod", "a/b"}) {
    EXPECT_THAT(Unary<v1::SetAliasResponse>(server, "SetAlias", AliasRequest("m", alias)),
                IsError(kInvalid, ""))
        << alias;
  }
  ASSERT_THAT(Unary<v1::SetAliasResponse>(server, "SetAlias", AliasRequest("m", "one")), IsOk());
  EXPECT_THAT(Unary<v1::SetAliasResponse>(server, "SetAlias", AliasRequest("m", "two")),
              IsError(absl::StatusCode::kResourceExhausted, "(aliases_max)"));
}

TEST(DeleteAlias, RemovesOnlyTheExpectedOne) {
  TestServer server;
  MustPush(server, "m", SmallModel(), "prod");
  v1::DeleteAliasRequest request;
  request.set_model("m");
  request.set_alias("prod");
  request.set_expected_version(2);
  request.set_request_id("a");
  EXPECT_THAT(Unary<v1::DeleteAliasResponse>(server, "DeleteAlias", request),
              Fails(absl::StatusCode::kAborted, Reason::kConflict, "alias is at version 1"));
  request.set_expected_version(1);
  EXPECT_THAT(Unary<v1::DeleteAliasResponse>(server, "DeleteAlias", request), IsOk());
  request.set_request_id("b");
  EXPECT_THAT(Unary<v1::DeleteAliasResponse>(server, "DeleteAlias", request),
              IsError(kNoSuch, "m@prod: no such alias"));
}

TEST(Mutations, NeedARequestId) {
  TestServer server;
  MustPush(server, "m", SmallModel(), "prod");
  const std::string json = SchemaJsonOf(SmallModel());
  ASSERT_THAT(BindSchema(server, "m", json), IsOk());
  for (const std::string& id : {std::string(), std::string(65, 'x'), std::string("a b"),
                                std::string("a\nb"), std::string("\xC3\xA9")}) {
    const auto refuses = Fails(kInvalid, Reason::kMalformed, "request id is \"");
    v1::SetAliasRequest set = AliasRequest("m", "other");
    set.set_request_id(id);
    EXPECT_THAT(Unary<v1::SetAliasResponse>(server, "SetAlias", set), refuses) << id;
    v1::DeleteAliasRequest remove;
    remove.set_model("m");
    remove.set_alias("prod");
    remove.set_request_id(id);
    EXPECT_THAT(Unary<v1::DeleteAliasResponse>(server, "DeleteAlias", remove), refuses) << id;
    v1::UnbindSchemaRequest unbind;
    unbind.set_model("m");
    unbind.set_request_id(id);
    EXPECT_THAT(Unary<v1::UnbindSchemaResponse>(server, "UnbindSchema", unbind), refuses) << id;
    std::vector<v1::BindSchemaRequest> bind(3);
    bind[0].mutable_header()->set_model("m");
    bind[0].mutable_header()->set_request_id(id);
    bind[1].set_schema(json);
    bind[2].mutable_end()->set_size_bytes(json.size());
    EXPECT_THAT(Exchange(server, "BindSchema", Frames(bind)).status, refuses) << id;
  }
  v1::GetModelRequest request;
  request.set_model("m");
  const auto model = Unary<v1::Model>(server, "GetModel", request);
  EXPECT_TRUE(model->has_schema());
  EXPECT_THAT(model->aliases(), UnorderedElementsAre(Pair("prod", 1)));
}

TEST(GetCapabilities, ListsFormatsAndLimits) {
  Limits limits;
  limits.streams_max = 17;
  TestServer server("memory", limits);
  const auto answer =
      Unary<v1::GetCapabilitiesResponse>(server, "GetCapabilities", v1::GetCapabilitiesRequest());
  ASSERT_THAT(answer, IsOk());
  EXPECT_FALSE(answer->server_version().empty());
  EXPECT_EQ(answer->limits().at("streams_max"), 17u);
  EXPECT_EQ(static_cast<size_t>(answer->limits_size()), AllLimits().size());
  std::set<std::string> written;
  for (const v1::FormatCapability& format : answer->formats()) {
    if (!format.write()) continue;
    written.insert(format.format());
    EXPECT_THAT(format.dtypes(), ::testing::Contains("float32"));
  }
  EXPECT_THAT(written,
              ElementsAre("pytorch", "pytorch-legacy", "safetensors", "tensors", "torchsharp"));
}

}  // namespace
}  // namespace ballast
