#include "tests/bench/floor/floor_settings.h"

#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proto/grpc_bridge.h"
#include "storage/base/status.h"

namespace ballast::bench {
namespace {

absl::Status AddArgument(const std::string& text, FloorSettings* settings) {
  const size_t equals = text.find('=');
  int value = 0;
  if (equals == std::string::npos || !absl::SimpleAtoi(text.substr(equals + 1), &value)) {
    return absl::InvalidArgumentError(absl::StrCat("--arg: is \"", text, "\", want NAME=NUMBER"));
  }
  settings->arguments.emplace_back(text.substr(0, equals), value);
  return absl::OkStatus();
}

absl::Status AddFlag(const std::string& flag, const std::string& value, FloorSettings* settings) {
  if (flag == "--arg") return AddArgument(value, settings);
  if (flag == "--memory") {
    if (absl::SimpleAtoi(value, &settings->memory_bytes)) return absl::OkStatus();
    return absl::InvalidArgumentError("--memory: want a number of bytes");
  }
  std::string* const text = flag == "--address" ? &settings->address
                            : flag == "--ca"    ? &settings->ca_file
                            : flag == "--cert"  ? &settings->cert_file
                            : flag == "--key"   ? &settings->key_file
                                                : nullptr;
  if (text == nullptr) return absl::InvalidArgumentError(absl::StrCat(flag, ": is no flag"));
  *text = value;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FloorSettings> ParseFloorSettings(int argc, char** argv, int first) {
  FloorSettings settings;
  grpc::ChannelArguments product;
  SetChannelArguments(&product);
  const grpc_channel_args raw = product.c_channel_args();
  for (size_t i = 0; i < raw.num_args; ++i) {
    if (raw.args[i].type != GRPC_ARG_INTEGER) continue;
    settings.arguments.emplace_back(raw.args[i].key, raw.args[i].value.integer);
  }
  for (int i = first; i < argc; i += 2) {
    if (i + 1 == argc) return absl::InvalidArgumentError(absl::StrCat(argv[i], ": has no value"));
    RETURN_IF_ERROR(AddFlag(argv[i], argv[i + 1], &settings));
  }
  return settings;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file.good()) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  return text.str();
}

}  // namespace ballast::bench
