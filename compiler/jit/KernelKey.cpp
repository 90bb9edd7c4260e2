//===- KernelKey.cpp - what makes two kernels the same --------------------===//

#include "compiler/jit/KernelKey.h"

#include "compiler/jit/BuildId.h"
#include "dialect/GRUDialect.h"
#include "gru/plan.h"
#include "lowering/halide/Kernels.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>

using namespace mlir;
using namespace gru;

/// Writes every member, which this binding counts: one that is new does not
/// compile until it is written too.
static void writeTarget(raw_ostream &os, const CompileTarget &target) {
  // A device's problems only explain refusals.
  const auto &[backend, requireBackend, deviceProblems, triple, cpu, batch,
               timesteps, width, rows, threads, weightType, sparseKernels,
               f64Outputs, stopAfter, training, masks, activities, allowTF32,
               profile, halideSchedule] = target;
  for (StringRef text : {backend, requireBackend, triple, cpu, weightType,
                         stopAfter, halideSchedule})
    os << text << '\0';
  for (int64_t number :
       {batch, timesteps, width, rows, threads, int64_t(f64Outputs),
        int64_t(training), int64_t(activities), int64_t(allowTF32),
        int64_t(profile)})
    os << number << '\0';
  for (size_t weight : sparseKernels)
    os << weight << ' ';
  os << '\0';
  for (const MaskSpec &mask : masks) {
    os << mask.name << '\0';
    for (int64_t size : mask.shape)
      os << size << ' ';
  }
  const Machine machine = getMachine(target);
  os << machine.triple.str() << '\0' << machine.cpu << '\0' << machine.features
     << '\0' << getBuildId() << '\0';
  if (backend == "halide")
    os << getHalideId() << '\0';
}

static std::string hash(StringRef kind, const CompileTarget &target,
                        llvm::function_ref<void(raw_ostream &)> write) {
  std::string bytes;
  llvm::raw_string_ostream os(bytes);
  os << kind << '\0';
  writeTarget(os, target);
  write(os);
  return llvm::toHex(llvm::SHA256::hash(llvm::arrayRefFromStringRef(bytes)),
                     /*LowerCase=*/true);
}

std::string gru::makeSourceKey(const ModelSource &source,
                               const CompileTarget &target) {
  return hash("source", target,
              [&](raw_ostream &os) { source.hashStructure(os); });
}

/// Takes the name out of one argument's or result's attributes.
static DictionaryAttr takeName(DictionaryAttr attributes, StringRef name,
                               std::vector<std::string> &names) {
  if (!attributes)
    return {};
  auto text = attributes.getAs<StringAttr>(name);
  names.push_back(text ? text.str() : "");
  SmallVector<NamedAttribute> rest;
  for (NamedAttribute attribute : attributes)
    // That there is a name matters; which one does not.
    rest.push_back(attribute.getName() == name
                       ? NamedAttribute(attribute.getName(),
                                        UnitAttr::get(attributes.getContext()))
                       : attribute);
  return DictionaryAttr::get(attributes.getContext(), rest);
}

static void takeNames(func::FuncOp function, TensorNames &names) {
  for (unsigned i = 0, e = function.getNumArguments(); i != e; ++i) {
    auto attributes = function.getArgAttrDict(i);
    bool isWeight = attributes && attributes.contains(kWeightAttr);
    bool isState = attributes && attributes.contains(kStateAttr);
    function.setArgAttrs(
        i, isWeight  ? takeName(attributes, kWeightAttr, names.weights)
           : isState ? takeName(attributes, kNameAttr, names.states)
                     : takeName(attributes, kNameAttr, names.inputs));
  }
  for (unsigned i = 0, e = function.getNumResults(); i != e; ++i) {
    auto attributes = function.getResultAttrDict(i);
    if (!attributes || !attributes.contains(kStateAttr))
      function.setResultAttrs(i,
                              takeName(attributes, kNameAttr, names.outputs));
  }
}

std::string gru::makeModuleKey(ModuleOp module, const CompileTarget &target,
                               TensorNames &names) {
  auto main = module.lookupSymbol<func::FuncOp>("main");
  ArrayAttr arguments, results;
  if (main) {
    arguments = main.getArgAttrsAttr();
    results = main.getResAttrsAttr();
    takeNames(main, names);
  }
  std::string key = hash("module", target, [&](raw_ostream &os) {
    module->print(os, OpPrintingFlags().useLocalScope());
  });
  // Diagnostics of the lowering name tensors as their owner does.
  if (main && arguments)
    main.setArgAttrsAttr(arguments);
  if (main && results)
    main.setResAttrsAttr(results);
  return key;
}

std::optional<std::string> gru::renamePlan(StringRef plan,
                                           const TensorNames &names) {
  gru_plan_header header;
  if (plan.size() < sizeof(header))
    return std::nullopt;
  std::memcpy(&header, plan.data(), sizeof(header));
  if (header.num_inputs != names.inputs.size() ||
      header.num_outputs != names.outputs.size() ||
      header.num_states != names.states.size() ||
      header.num_weights != names.weights.size() ||
      header.strings_size > plan.size() || header.size != plan.size())
    return std::nullopt;
  std::string body = plan.drop_back(header.strings_size).str();
  std::string strings;
  size_t at = sizeof(header);
  for (const std::vector<std::string> *list :
       {&names.inputs, &names.outputs, &names.states, &names.weights})
    for (const std::string &name : *list) {
      gru_plan_tensor tensor;
      if (at + sizeof(tensor) > body.size())
        return std::nullopt;
      std::memcpy(&tensor, body.data() + at, sizeof(tensor));
      tensor.name = strings.size();
      std::memcpy(body.data() + at, &tensor, sizeof(tensor));
      at += sizeof(tensor);
      strings += name;
      strings += '\0';
    }
  header.strings_size = strings.size();
  header.size = body.size() + strings.size();
  std::memcpy(body.data(), &header, sizeof(header));
  return body + strings;
}
