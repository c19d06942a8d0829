#include "storage/formats/torchsharp_optimizer.h"

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/torchsharp_parser.h"

namespace ballast {
namespace {

// Fields in their order, each "<type> <name>": d f64, b bool8, i i64, t tensor,
// c conditional tensor.
struct OptimizerLayout {
  absl::string_view name;
  absl::string_view options;  // after the two learning rates
  absl::string_view state;
};

constexpr std::array kLayouts = {
    OptimizerLayout{"SGD", "d momentum,d dampening,d weight_decay,b nesterov,b maximize",
                    "c momentum_buffer"},
    OptimizerLayout{"ASGD", "b maximize,d lambd,d alpha,d weight_decay,d t0",
                    "i step,d eta,d mu,t ax"},
    OptimizerLayout{"Rprop", "b maximize,d etaminus,d etaplus,d min_step,d max_step",
                    "i step,t prev,t step_size"},
    OptimizerLayout{"RMSProp", "b maximize,d momentum,d alpha,d eps,d weight_decay,b centered",
                    "i step,t square_avg,c momentum_buffer,c grad_avg"},
    OptimizerLayout{"Adam", "d beta1,d beta2,d eps,d weight_decay,b amsgrad,b maximize",
                    "i step,t exp_avg,t exp_avg_sq,c max_exp_avg_sq"},
    OptimizerLayout{"AdamW", "d beta1,d beta2,d eps,d weight_decay,b amsgrad,b maximize",
                    "i step,t exp_avg,t exp_avg_sq,c max_exp_avg_sq"},
    OptimizerLayout{"NAdam", "d beta1,d beta2,d eps,d weight_decay,d momentum_decay",
                    "i step,d mu_product,t exp_avg,t exp_avg_sq"},
    OptimizerLayout{"RAdam", "d beta1,d beta2,d eps,d weight_decay",
                    "i step,t exp_avg,t exp_avg_sq"},
    OptimizerLayout{"Adamax", "d beta1,d beta2,d eps,d weight_decay", "i step,t exp_avg,t exp_inf"},
    OptimizerLayout{"Adadelta", "d rho,d eps,d weight_decay,b maximize",
                    "i step,t square_avg,t acc_delta"},
    OptimizerLayout{"Adagrad", "d lr_decay,d initial_accumulator_value,d eps,d weight_decay",
                    "i step,t sum"},
};

// A finite double in the shortest form that reads back; JSON has no other doubles.
std::string DoubleJson(double value) {
  if (!std::isfinite(value)) return "";
  for (int digits = 15; digits < 17; ++digits) {
    std::string text = absl::StrFormat("%.*g", digits, value);
    if (std::strtod(text.c_str(), nullptr) == value) return text;
  }
  return absl::StrFormat("%.17g", value);
}

class OptimizerParser {
 public:
  OptimizerParser(const ByteSource* source, const Limits* limits)
      : input_(source), limits_(limits) {}

  absl::StatusOr<SourceStateDict> Parse() {
    ASSIGN_OR_RETURN(const OptimizerLayout layout, ReadName());
    ASSIGN_OR_RETURN(const uint64_t groups, ReadCount("number of parameter groups"));
    ASSIGN_OR_RETURN(const uint64_t states, ReadCount("number of states"));
    for (uint64_t i = 0; i < groups; ++i) {
      const std::string path = absl::StrCat("param_groups.", i);
      RETURN_IF_ERROR(ReadFields("d InitialLearningRate,d LearningRate", path));
      RETURN_IF_ERROR(ReadFields(layout.options, path));
    }
    for (uint64_t i = 0; i < states; ++i) {
      RETURN_IF_ERROR(ReadFields(layout.state, absl::StrCat("state.", i)));
    }
    ASSIGN_OR_RETURN(const bool at_end, input_.AtEnd());
    if (at_end) return std::move(dict_);
    return MalformedError("byte ", input_.offset_bytes(), ": input goes on after the last of ",
                          states, " states of ", layout.name, ", want its end");
  }

 private:
  absl::StatusOr<OptimizerLayout> ReadName() {
    dict_.format = Format::kTorchSharpOptimizer;
    dict_.writer = "TorchSharp";
    ASSIGN_OR_RETURN(const std::string name, ReadDotNetString(&input_, *limits_, "optimizer name"));
    for (const OptimizerLayout& layout : kLayouts) {
      if (layout.name != name) continue;
      dict_.leaves.push_back({"optimizer", "str", JsonString(name)});
      return layout;
    }
    return WrongFormatError("byte 0: optimizer name is ", QuotedKey(name),
                            ", want one that TorchSharp saves");
  }

  absl::StatusOr<uint64_t> ReadCount(absl::string_view what) {
    ASSIGN_OR_RETURN(const uint64_t count, ReadLeb128(&input_, what));
    if (count <= limits_->entries_max) return count;
    return LimitError(what, " is ", count, ", want at most ", limits_->entries_max,
                      " (entries_max)");
  }

  absl::Status ReadFields(absl::string_view fields, const std::string& path) {
    for (const absl::string_view field : absl::StrSplit(fields, ',')) {
      const std::string name = absl::StrCat(path, ".", field.substr(2));
      if (field[0] == 't' || field[0] == 'c') {
        RETURN_IF_ERROR(ReadTensor(name, field[0] == 'c'), name);
      } else {
        RETURN_IF_ERROR(ReadNumber(name, field[0]));
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadNumber(const std::string& path, char type) {
    if (type == 'b') {
      ASSIGN_OR_RETURN(const uint8_t byte, input_.Byte(path));
      dict_.leaves.push_back({path, "bool", byte != 0 ? "true" : "false"});
      return absl::OkStatus();
    }
    std::array<char, 8> raw{};
    RETURN_IF_ERROR(input_.Read(absl::MakeSpan(raw), path));
    uint64_t bits = 0;
    for (size_t i = 0; i < raw.size(); ++i) {
      bits |= uint64_t{static_cast<uint8_t>(raw[i])} << (8 * i);
    }
    if (type == 'i') {
      dict_.leaves.push_back({path, "int", absl::StrCat(static_cast<int64_t>(bits))});
      return absl::OkStatus();
    }
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    dict_.leaves.push_back({path, "float", DoubleJson(value)});
    return absl::OkStatus();
  }

  absl::Status ReadTensor(const std::string& key, bool conditional) {
    if (conditional) {
      ASSIGN_OR_RETURN(const uint8_t there, input_.Byte(key));
      if (there == 0) return absl::OkStatus();
    }
    if (dict_.entries.size() == limits_->entries_max) {
      return LimitError("there are more than ", limits_->entries_max, " tensors (entries_max)");
    }
    TensorSpec spec;
    spec.key = key;
    spec.role = Role::kOther;
    ASSIGN_OR_RETURN(const uint64_t size, ReadTensorHeader(&input_, *limits_, &spec));
    const uint64_t offset = input_.offset_bytes();
    RETURN_IF_ERROR(input_.Skip(size, "the data of the tensor"));
    AddContiguousEntry(std::move(spec), offset, size, &dict_);
    return absl::OkStatus();
  }

  ForwardInput input_;
  const Limits* limits_;  // Must outlive this.
  SourceStateDict dict_;
};

}  // namespace

absl::StatusOr<SourceStateDict> ReadTorchSharpOptimizer(const ByteSource& source,
                                                        const Limits& limits) {
  return OptimizerParser(&source, &limits).Parse();
}

bool BeginsLikeOptimizer(absl::string_view head) {
  for (const OptimizerLayout& layout : kLayouts) {
    if (!head.empty() && static_cast<size_t>(head[0]) == layout.name.size() &&
        absl::StartsWith(head.substr(1), layout.name)) {
      return true;
    }
  }
  return false;
}

}  // namespace ballast
