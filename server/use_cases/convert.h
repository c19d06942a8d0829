// Reads a spooled file in one format and lays it out in another: the one function
// behind the server's Convert; the client's local convert is the same layout.
#ifndef BALLAST_SERVER_USE_CASES_CONVERT_H_
#define BALLAST_SERVER_USE_CASES_CONVERT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/services.h"
#include "storage/base/byte_io.h"
#include "storage/base/file.h"
#include "storage/formats/layout.h"
#include "storage/formats/state_dict.h"
#include "storage/schema/key_rules.h"

namespace ballast {

// A file that a client sent, in a temporary file, read and checked.
struct SpooledDict {
  std::unique_ptr<MemoryBudget::Share> memory;  // of the dict
  std::unique_ptr<SpoolFile> spool;
  SourceStateDict dict;
};

// Errors: as ReadStateDict and VerifyStorages; ResourceExhausted  limits.spool_bytes_max.
absl::StatusOr<SpooledDict> SpoolAndRead(const Services& services, ByteStream* file, Format format);

struct ConversionParameters {
  Format from = Format::kUnknown;  // by content
  Format to = Format::kUnknown;
  KeyRuleOptions rules;
  bool plain_dict = false;  // see LayoutInput
};

struct Conversion {
  SpooledDict source;
  FileLayout layout;
};

// Errors: as SpoolAndRead, KeyRules, LayOut.
absl::StatusOr<Conversion> PlanConversion(const Services& services, absl::string_view principal,
                                          ByteStream* file, const ConversionParameters& options);

// Streams the result. Errors: those of reading the source and of the sink.
absl::Status WriteConversion(const Services& services, const Conversion& conversion,
                             ByteSink* sink);

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_CONVERT_H_
