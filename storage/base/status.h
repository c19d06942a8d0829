// Errors: an absl::Status with a code (what to do about it) and a Reason
// (what kind of wrong it was, stable for programs).
//
// Messages read `<where>: <thing> is <got>, want <rule>`, on one line. The
// reason travels with the status as a payload and survives added context.
#ifndef BALLAST_STORAGE_BASE_STATUS_H_
#define BALLAST_STORAGE_BASE_STATUS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ballast {

// Machine-readable kinds of failure. Their names are part of the wire contract
// (ErrorInfo.reason); never renumber or rename.
enum class Reason {
  kNone,            // no reason given
  kTruncated,       // input ends too early
  kMalformed,       // syntax or structure violation of the input
  kChecksum,        // a checksum of the *input* does not match
  kUnsafe,          // active content, or bytes that two parsers would read differently
  kWrongFormat,     // well formed perhaps, but something else than asked for
  kUnsupported,     // valid, but not representable or not implemented
  kLimit,           // above a named limit
  kAmbiguous,       // more than one answer is possible; the caller must choose
  kSchemaMismatch,  // the schema gate refused; exit code 4
  kConflict,        // lost a race, or an expected value differs
};

// "TRUNCATED", ..., "" for kNone.
absl::string_view ReasonName(Reason reason);
// The inverse; kNone for an unknown name.
Reason ReasonFromName(absl::string_view name);

// The reason attached to `status`, kNone if there is none.
Reason GetReason(const absl::Status& status);

// A status with a reason. `code` must not be kOk.
absl::Status MakeError(absl::StatusCode code, Reason reason, absl::string_view message);

// `status` with "context: " in front of its message. Code, reason and every
// other payload stay. An OK status is returned as it is.
absl::Status WithContext(const absl::Status& status, absl::string_view context);

// The message made one line and printable: control characters and bytes that
// are not UTF-8 become \xNN. For names that come from outside.
std::string Printable(absl::string_view text);

template <typename... A>
absl::Status TruncatedError(const A&... a) {
  return MakeError(absl::StatusCode::kInvalidArgument, Reason::kTruncated, absl::StrCat(a...));
}
template <typename... A>
absl::Status MalformedError(const A&... a) {
  return MakeError(absl::StatusCode::kInvalidArgument, Reason::kMalformed, absl::StrCat(a...));
}
template <typename... A>
absl::Status ChecksumError(const A&... a) {
  return MakeError(absl::StatusCode::kInvalidArgument, Reason::kChecksum, absl::StrCat(a...));
}
template <typename... A>
absl::Status UnsafeError(const A&... a) {
  return MakeError(absl::StatusCode::kInvalidArgument, Reason::kUnsafe, absl::StrCat(a...));
}
template <typename... A>
absl::Status WrongFormatError(const A&... a) {
  return MakeError(absl::StatusCode::kInvalidArgument, Reason::kWrongFormat, absl::StrCat(a...));
}
template <typename... A>
absl::Status UnsupportedError(const A&... a) {
  return MakeError(absl::StatusCode::kUnimplemented, Reason::kUnsupported, absl::StrCat(a...));
}
template <typename... A>
absl::Status LimitError(const A&... a) {
  return MakeError(absl::StatusCode::kResourceExhausted, Reason::kLimit, absl::StrCat(a...));
}
template <typename... A>
absl::Status AmbiguousError(const A&... a) {
  return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kAmbiguous, absl::StrCat(a...));
}
template <typename... A>
absl::Status SchemaMismatchError(const A&... a) {
  return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kSchemaMismatch,
                   absl::StrCat(a...));
}
template <typename... A>
absl::Status ConflictError(const A&... a) {
  return MakeError(absl::StatusCode::kAborted, Reason::kConflict, absl::StrCat(a...));
}

}  // namespace ballast

// RETURN_IF_ERROR(expr)  or  RETURN_IF_ERROR(expr, context): context is
// anything absl::StrCat takes as one piece, evaluated only on failure.
#define RETURN_IF_ERROR(...) \
  BALLAST_PICK_2_(__VA_ARGS__, BALLAST_RIE_2_, BALLAST_RIE_1_)(__VA_ARGS__)
// ASSIGN_OR_RETURN(auto x, expr)  or  ASSIGN_OR_RETURN(auto x, expr, context).
#define ASSIGN_OR_RETURN(...) \
  BALLAST_PICK_3_(__VA_ARGS__, BALLAST_AOR_3_, BALLAST_AOR_2_)(__VA_ARGS__)

#define BALLAST_PICK_2_(a, b, pick, ...) pick
#define BALLAST_PICK_3_(a, b, c, pick, ...) pick
#define BALLAST_RIE_1_(expr)                                                   \
  do {                                                                         \
    if (absl::Status ballast_s_ = (expr); !ballast_s_.ok()) return ballast_s_; \
  } while (false)
#define BALLAST_RIE_2_(expr, context)                                   \
  do {                                                                  \
    if (absl::Status ballast_s_ = (expr); !ballast_s_.ok())             \
      return ::ballast::WithContext(ballast_s_, absl::StrCat(context)); \
  } while (false)
#define BALLAST_CAT_2_(a, b) a##b
#define BALLAST_CAT_(a, b) BALLAST_CAT_2_(a, b)
#define BALLAST_AOR_2_(lhs, expr) BALLAST_AOR_(BALLAST_CAT_(ballast_or_, __LINE__), lhs, expr, )
#define BALLAST_AOR_3_(lhs, expr, context) \
  BALLAST_AORC_(BALLAST_CAT_(ballast_or_, __LINE__), lhs, expr, context)
#define BALLAST_AOR_(tmp, lhs, expr, unused)     \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)
#define BALLAST_AORC_(tmp, lhs, expr, context)                                       \
  auto tmp = (expr);                                                                 \
  if (!tmp.ok()) return ::ballast::WithContext(tmp.status(), absl::StrCat(context)); \
  lhs = *std::move(tmp)

#endif  // BALLAST_STORAGE_BASE_STATUS_H_
