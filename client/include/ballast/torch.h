// LibTorch modules and the registry: push a module's state dict, pull one into a
// module, and write the schema that a module expects.
//
//   torch::nn::Linear net(4, 2);
//   ballast::torch::PushModule(client, *net, "demo/linear", {});
//   ballast::torch::PushModuleAsync(client, *net, "demo/linear", {}); … client->Flush();
//   ballast::torch::PullModule(client, "demo/linear@prod", &*net);
//
// Only for programs that use LibTorch (1.13 and later); the library itself does not.
// Keys are those of Python's state_dict(): named_parameters() and named_buffers().
// A buffer that the module keeps out of its state dict cannot be told apart in C++
// and is part of it here. Everything is in the namespace ballast::torch; LibTorch's
// own names are written ::torch.
#ifndef BALLAST_TORCH_H_
#define BALLAST_TORCH_H_

#include <ballast/client.h>
#include <torch/torch.h>

#include <deque>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/status.h"
#include "storage/schema/schema.h"

namespace ballast::torch {

// nullopt: the registry has no such dtype (quantized types keep their scale elsewhere).
inline std::optional<DType> FromTorch(::torch::ScalarType type) {
  switch (type) {
    case ::torch::kUInt8:
      return DType::kUint8;
    case ::torch::kInt8:
      return DType::kInt8;
    case ::torch::kInt16:
      return DType::kInt16;
    case ::torch::kInt32:
      return DType::kInt32;
    case ::torch::kInt64:
      return DType::kInt64;
    case ::torch::kFloat16:
      return DType::kFloat16;
    case ::torch::kFloat32:
      return DType::kFloat32;
    case ::torch::kFloat64:
      return DType::kFloat64;
    case ::torch::kComplexHalf:
      return DType::kComplex32;
    case ::torch::kComplexFloat:
      return DType::kComplex64;
    case ::torch::kComplexDouble:
      return DType::kComplex128;
    case ::torch::kBool:
      return DType::kBool;
    case ::torch::kBFloat16:
      return DType::kBfloat16;
    default:
      return std::nullopt;
  }
}

// A module's tensor under its key, as it is (any device, any layout of memory).
struct NamedTensor {
  std::string key;
  ::torch::Tensor tensor;
  Kind kind = Kind::kUnknown;
};

namespace internal {

inline void AppendState(const ::torch::nn::Module& module, const std::string& prefix,
                        std::vector<NamedTensor>* out) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (item.value().defined()) {
      out->push_back({prefix + item.key(), item.value(), Kind::kParameter});
    }
  }
  for (const auto& item : module.named_buffers(/*recurse=*/false)) {
    if (item.value().defined()) {
      out->push_back({prefix + item.key(), item.value(), Kind::kBuffer});
    }
  }
  for (const auto& child : module.named_children()) {
    AppendState(*child.value(), prefix + child.key() + ".", out);
  }
}

}  // namespace internal

// In Python's order: of each module its parameters, its buffers, its submodules.
// Undefined tensors are left out.
inline std::vector<NamedTensor> StateDict(const ::torch::nn::Module& module) {
  std::vector<NamedTensor> out;
  internal::AppendState(module, "", &out);
  return out;
}

// Errors: Unimplemented  a dtype that the registry lacks; names the key.
inline absl::StatusOr<TensorSpec> SpecOf(const NamedTensor& named) {
  TensorSpec spec;
  const std::optional<DType> dtype = FromTorch(named.tensor.scalar_type());
  if (!dtype) {
    return UnsupportedError(QuotedKey(named.key), ": dtype is ",
                            ::torch::toString(named.tensor.scalar_type()),
                            ", want one that the registry has");
  }
  spec.key = named.key;
  spec.dtype = *dtype;
  spec.kind = named.kind;
  for (const int64_t dim : named.tensor.sizes()) spec.shape.push_back(static_cast<uint64_t>(dim));
  return spec;
}

inline absl::StatusOr<std::vector<TensorSpec>> SpecsOf(const ::torch::nn::Module& module) {
  std::vector<TensorSpec> specs;
  for (const NamedTensor& named : StateDict(module)) {
    ASSIGN_OR_RETURN(TensorSpec spec, SpecOf(named));
    specs.push_back(std::move(spec));
  }
  return specs;
}

// The schema that exactly this module's state dict fulfils, for `ballast schema --bind`
// and SchemaChoice::json.
inline absl::StatusOr<std::string> SchemaJson(const ::torch::nn::Module& module) {
  ASSIGN_OR_RETURN(const std::vector<TensorSpec> specs, SpecsOf(module));
  return SchemaToJson(SchemaOf(specs));
}

// The bytes of a module's tensors where the registry can read them: contiguous, on the
// CPU. Copies only what is not so already, and keeps it.
class ModuleViews {
 public:
  // Errors: Unimplemented  a dtype that the registry lacks.
  static absl::StatusOr<ModuleViews> Of(const ::torch::nn::Module& module) {
    ModuleViews out;
    for (NamedTensor& named : StateDict(module)) {
      ASSIGN_OR_RETURN(TensorSpec spec, SpecOf(named));
      const ::torch::Tensor tensor = out.Keep(std::move(named.tensor));
      const absl::Span<const char> bytes(static_cast<const char*>(tensor.data_ptr()),
                                         tensor.nbytes());
      out.views_.push_back(
          {std::move(spec.key), spec.dtype, std::move(spec.shape), bytes, spec.kind});
    }
    return out;
  }
  absl::Span<const TensorView> views() const { return views_; }

 private:
  // Of tied tensors there is one copy, so that they stay tied.
  ::torch::Tensor Keep(::torch::Tensor tensor) {
    auto& same_address = kept_[tensor.data_ptr()];
    for (const auto& [original, copy] : same_address) {
      if (original.sizes() == tensor.sizes() && original.strides() == tensor.strides() &&
          original.scalar_type() == tensor.scalar_type()) {
        return copy;
      }
    }
    const ::torch::Tensor copy =
        tensor.detach().to(::torch::kCPU).resolve_conj().resolve_neg().contiguous();
    same_address.emplace_back(std::move(tensor), copy);
    return copy;
  }

  std::vector<TensorView> views_;
  // By address: the module's tensor, and what the views read.
  std::map<const void*, std::vector<std::pair<::torch::Tensor, ::torch::Tensor>>> kept_;
};

// Stores the module's state dict as a new version of `model`. The module must not be
// trained meanwhile. Errors: as Client::PushTensors; Unimplemented.
inline absl::StatusOr<PushResult> PushModule(Client* client, const ::torch::nn::Module& module,
                                             const std::string& model, const PushOptions& options) {
  ASSIGN_OR_RETURN(const ModuleViews views, ModuleViews::Of(module));
  return client->PushTensors(views.views(), model, options);
}

// As PushModule, but goes on behind the caller's back once the tensors are copied: training
// waits for nothing else (Client::PushAsync; `how.release` is not used).
inline std::future<absl::StatusOr<PushResult>> PushModuleAsync(Client* client,
                                                               const ::torch::nn::Module& module,
                                                               const std::string& model,
                                                               const PushOptions& options,
                                                               AsyncPushOptions how = {}) {
  const absl::StatusOr<ModuleViews> views = ModuleViews::Of(module);
  how.release = nullptr;
  if (views.ok()) return client->PushAsync(views->views(), model, options, how);
  if (how.done) how.done(views.status());
  std::promise<absl::StatusOr<PushResult>> refused;
  refused.set_value(views.status());
  return refused.get_future();
}

// Loads a version into the module's tensors, on whatever device they are. Before any
// payload moves the version is compared with the module's own schema: strict, all keys
// must match; else missing and unexpected ones are left alone. The module changes only
// when everything has arrived and been checked.
// Errors: as Client::PullTensors; FailedPrecondition/SCHEMA_MISMATCH.
inline absl::StatusOr<PullResult> PullModule(Client* client, const std::string& reference,
                                             ::torch::nn::Module* module, bool strict = true,
                                             PullOptions options = {}) {
  std::map<std::string, ::torch::Tensor> targets, arrived;
  for (const NamedTensor& named : StateDict(*module)) targets.emplace(named.key, named.tensor);
  ASSIGN_OR_RETURN(options.schema.json, SchemaJson(*module));
  options.strict = strict;
  std::deque<std::vector<char>> unused;  // for entries that the module has not
  const auto allocate = [&](const TensorSpec& spec) -> absl::StatusOr<absl::Span<char>> {
    const auto target = targets.find(spec.key);
    if (target == targets.end()) {
      return absl::MakeSpan(unused.emplace_back(CheckedTensorBytes(spec)));
    }
    ::torch::Tensor staged = ::torch::empty(
        target->second.sizes(), ::torch::TensorOptions().dtype(target->second.scalar_type()));
    arrived.emplace(spec.key, staged);
    return absl::Span<char>(static_cast<char*>(staged.data_ptr()), staged.nbytes());
  };
  ASSIGN_OR_RETURN(PullResult result, client->PullTensors(reference, options, allocate));
  const ::torch::NoGradGuard no_grad;
  for (const auto& [key, tensor] : arrived) targets.at(key).copy_(tensor);
  return result;
}

}  // namespace ballast::torch

#endif  // BALLAST_TORCH_H_
