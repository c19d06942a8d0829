#include "storage/base/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "storage/base/checked.h"

namespace ballast {
namespace {

absl::StatusOr<std::unique_ptr<int>> Box(bool ok) {
  if (!ok) return TruncatedError("box: is empty");
  return std::make_unique<int>(7);
}

absl::Status Plain(const absl::Status& inner) {
  RETURN_IF_ERROR(inner);
  return absl::OkStatus();
}

absl::Status InContext(const absl::Status& inner, int* evaluated) {
  RETURN_IF_ERROR(inner, (++*evaluated, "outer"));
  return absl::OkStatus();
}

absl::StatusOr<int> Unbox(bool first, bool second) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> a, Box(first));
  ASSIGN_OR_RETURN(const std::unique_ptr<int> b, Box(second), "second");
  return *a + *b;
}

TEST(ReturnIfError, PassesOkAndReturnsTheError) {
  EXPECT_TRUE(Plain(absl::OkStatus()).ok());
  EXPECT_EQ(Plain(absl::NotFoundError("x")), absl::NotFoundError("x"));
}

TEST(ReturnIfError, EvaluatesContextOnlyOnFailure) {
  int evaluated = 0;
  EXPECT_TRUE(InContext(absl::OkStatus(), &evaluated).ok());
  EXPECT_EQ(evaluated, 0);
  EXPECT_EQ(InContext(absl::NotFoundError("x"), &evaluated).message(), "outer: x");
  EXPECT_EQ(evaluated, 1);
}

TEST(AssignOrReturn, MovesTheValueOutAndAddsContext) {
  EXPECT_EQ(Unbox(true, true).value(), 14);
  EXPECT_EQ(Unbox(false, true).status().message(), "box: is empty");
  EXPECT_EQ(Unbox(true, false).status().message(), "second: box: is empty");
}

TEST(WithContext, KeepsCodeReasonAndPayloads) {
  absl::Status status = SchemaMismatchError("entry differs");
  status.SetPayload("other", absl::Cord("kept"));
  const absl::Status outer = WithContext(WithContext(status, "inner"), "outer");
  EXPECT_EQ(outer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(outer.message(), "outer: inner: entry differs");
  EXPECT_EQ(GetReason(outer), Reason::kSchemaMismatch);
  EXPECT_EQ(outer.GetPayload("other"), absl::Cord("kept"));
}

TEST(WithContext, LeavesOkAlone) { EXPECT_TRUE(WithContext(absl::OkStatus(), "x").ok()); }

TEST(Reason, EveryErrorCarriesItsCodeAndReason) {
  const struct {
    absl::Status status;
    absl::StatusCode code;
    Reason reason;
    absl::string_view name;
  } rows[] = {
      {TruncatedError("m"), absl::StatusCode::kInvalidArgument, Reason::kTruncated, "TRUNCATED"},
      {MalformedError("m"), absl::StatusCode::kInvalidArgument, Reason::kMalformed, "MALFORMED"},
      {ChecksumError("m"), absl::StatusCode::kInvalidArgument, Reason::kChecksum, "CHECKSUM"},
      {UnsafeError("m"), absl::StatusCode::kInvalidArgument, Reason::kUnsafe, "UNSAFE"},
      {WrongFormatError("m"), absl::StatusCode::kInvalidArgument, Reason::kWrongFormat,
       "WRONG_FORMAT"},
      {UnsupportedError("m"), absl::StatusCode::kUnimplemented, Reason::kUnsupported,
       "UNSUPPORTED"},
      {LimitError("m"), absl::StatusCode::kResourceExhausted, Reason::kLimit, "LIMIT"},
      {AmbiguousError("m"), absl::StatusCode::kFailedPrecondition, Reason::kAmbiguous, "AMBIGUOUS"},
      {SchemaMismatchError("m"), absl::StatusCode::kFailedPrecondition, Reason::kSchemaMismatch,
       "SCHEMA_MISMATCH"},
      {ConflictError("m"), absl::StatusCode::kAborted, Reason::kConflict, "CONFLICT"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(row.status.code(), row.code) << row.name;
    EXPECT_EQ(GetReason(row.status), row.reason) << row.name;
    EXPECT_EQ(ReasonName(row.reason), row.name);
    EXPECT_EQ(ReasonFromName(row.name), row.reason);
  }
}

TEST(Reason, UnknownNamesAndPlainStatusesHaveNone) {
  EXPECT_EQ(ReasonFromName("truncated"), Reason::kNone);
  EXPECT_EQ(ReasonFromName(""), Reason::kNone);
  EXPECT_EQ(GetReason(absl::NotFoundError("x")), Reason::kNone);
  EXPECT_EQ(GetReason(absl::OkStatus()), Reason::kNone);
}

TEST(Printable, MakesOneLineOfAnything) {
  const struct {
    std::string in, out;
  } rows[] = {
      {"fc.weight", "fc.weight"},         {"Größe.重み.🔥", "Größe.重み.🔥"},
      {"a\nb\tc", "a\\x0ab\\x09c"},       {std::string("nul\0end", 7), "nul\\x00end"},
      {"\x1b[31mred", "\\x1b[31mred"},    {"\x7f", "\\x7f"},
      {"\xc2\x85next", "\\xc2\\x85next"}, {"\xff\xfe", "\\xff\\xfe"},
      {"cut\xe2\x82", "cut\\xe2\\x82"},
  };
  for (const auto& row : rows) EXPECT_EQ(Printable(row.in), row.out);
}

TEST(Checked, FindsOverflowAtTheEdge) {
  uint64_t out = 0;
  EXPECT_TRUE(CheckedAdd(UINT64_MAX - 1, 1, &out));
  EXPECT_EQ(out, UINT64_MAX);
  EXPECT_FALSE(CheckedAdd(UINT64_MAX, 1, &out));
  EXPECT_TRUE(CheckedMul(UINT64_MAX, 1, &out));
  EXPECT_FALSE(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32, &out));
}

TEST(Checked, InRangeNeverWrapsAround) {
  EXPECT_TRUE(InRange(0, 0, 0));
  EXPECT_TRUE(InRange(10, 0, 10));
  EXPECT_TRUE(InRange(3, 7, 10));
  EXPECT_FALSE(InRange(3, 8, 10));
  EXPECT_FALSE(InRange(11, 0, 10));
  EXPECT_FALSE(InRange(UINT64_MAX, 2, 10));
  EXPECT_FALSE(InRange(2, UINT64_MAX, 10));
}

}  // namespace
}  // namespace ballast
