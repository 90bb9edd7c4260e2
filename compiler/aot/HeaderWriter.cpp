//===- HeaderWriter.cpp - what C includes ---------------------------------===//

#include "compiler/aot/Artifact.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace gru;
using llvm::StringRef;

namespace {

/// Text that cannot end the comment it stands in.
std::string inComment(StringRef text) {
  std::string result;
  for (char c : text)
    result += c == '*' || !llvm::isPrint(c) ? '_' : c;
  return result;
}

StringRef cType(gru_dtype dtype) {
  switch (dtype) {
  case GRU_F32:
    return "float";
  case GRU_F64:
    return "double";
  case GRU_I32:
    return "int32_t";
  case GRU_I64:
    return "int64_t";
  case GRU_BOOL:
    return "unsigned char";
  }
  return "uint16_t"; // the bits of a 16-bit float
}

class HeaderWriter {
public:
  HeaderWriter(const Artifact &artifact, llvm::raw_ostream &os)
      : artifact(artifact), plan(artifact.getPlan()), name(artifact.getName()),
        upper(StringRef(name).upper()), os(os) {
    // Our own parameters and macros.
    for (StringRef word : {"stream", "timesteps", "memory", "size", "weights",
                           "state", "bytes", "alignment", "scratch"})
      taken.insert(word);
    taken.insert(StringRef(name).lower());
    for (const gru_plan_tensor &tensor : plan.inputs())
      inputs.push_back(unique(plan.name(tensor)));
    for (const gru_plan_tensor &tensor : plan.outputs())
      outputs.push_back(unique(plan.name(tensor)));
    for (const gru_plan_symbol &symbol : plan.symbols())
      symbols.push_back(plan.symbols().size() == 1
                            ? "timesteps"
                            : unique(inputs[symbol.input] + "_dim" +
                                     std::to_string(symbol.dim)));
  }

  void write(const llvm::Module &module) {
    StringRef cpu;
    for (const llvm::Function &function : module)
      if (function.hasFnAttribute("target-cpu"))
        cpu = function.getFnAttribute("target-cpu").getValueAsString();
    os << "/* " << name << ".h: " << inComment(artifact.getOptions().source)
       << ", compiled by gru-opt for " << module.getTargetTriple().str()
       << (cpu.empty() ? "" : ", cpu ") << cpu
       << ".\n   Made by a program; do not edit. */\n\n"
       << "#ifndef GRU_MODEL_" << upper << "_H\n#define GRU_MODEL_" << upper
       << "_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
       << "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    writeSizes();
    writeTensors();
    writeFunctions();
    os << "#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif\n";
  }

private:
  /// Also in capitals, as which the macros have it.
  std::string unique(StringRef text) {
    std::string identifier = toIdentifier(text), candidate = identifier;
    for (int i = 2; !taken.insert(StringRef(candidate).lower()).second; ++i)
      candidate = identifier + "_" + std::to_string(i);
    return candidate;
  }

  bool hasSymbols() const { return !symbols.empty(); }

  /// "A + B * T + ..." for a macro whose parameter is timesteps.
  std::string polynomial(llvm::ArrayRef<uint64_t> coefficients) const {
    std::string text = std::to_string(coefficients[0]);
    for (size_t power = 1; power < coefficients.size(); ++power) {
      if (!coefficients[power])
        continue;
      text += " + " + std::to_string(coefficients[power]);
      for (size_t i = 0; i < power; ++i)
        text += " * (size_t)(timesteps)";
    }
    return text;
  }

  void writeSizes() {
    std::vector<uint64_t> coefficients = artifact.getStreamBytes();
    std::vector<uint64_t> scratch = coefficients;
    scratch[0] -= artifact.getScratchOffset();
    StringRef parameter = hasSymbols() ? "(timesteps)" : "";
    os << "/* A stream's memory in bytes, aligned to " << upper << "_ALIGNMENT";
    if (hasSymbols())
      os << ", if no run has more than that\n   many timesteps";
    os << ": its state, the scratch of a run and a few bytes more. */\n"
       << "#define " << upper << "_ALIGNMENT " << runtime::kAlignment << "\n"
       << "#define " << upper << "_STATE_BYTES " << plan.header().state_bytes
       << "\n"
       << "#define " << upper << "_SCRATCH_BYTES" << parameter << " ("
       << polynomial(scratch) << ")\n"
       << "#define " << upper << "_BYTES" << parameter << " ("
       << polynomial(coefficients) << ")\n"
       << "#define " << upper << "_WEIGHTS_BYTES "
       << plan.header().weights_bytes << "\n";
    if (hasSymbols())
      os << "#define " << upper << "_MAX_TIMESTEPS INT64_C("
         << artifact.getLargestTimesteps() << ")\n";
    os << "\n";
  }

  std::string shape(const gru_plan_tensor &tensor) const {
    std::string text = "[";
    for (uint32_t d = 0; d < tensor.rank; ++d) {
      if (d != 0)
        text += ", ";
      text += tensor.dims[d] < 0 ? symbols[-1 - tensor.dims[d]]
                                 : std::to_string(tensor.dims[d]);
    }
    return text + "]";
  }

  void writeCount(const gru_plan_tensor &tensor, StringRef tensorName) {
    os << "#define " << upper << "_" << tensorName.upper() << "_ELEMENTS";
    if (hasSymbols())
      os << "(" << llvm::join(symbols, ", ") << ")";
    os << " ((size_t)1";
    for (uint32_t d = 0; d < tensor.rank; ++d) {
      if (tensor.dims[d] < 0)
        os << " * (size_t)(" << symbols[-1 - tensor.dims[d]] << ")";
      else
        os << " * " << tensor.dims[d];
    }
    os << ")\n";
  }

  void writeTensors() {
    os << "/* Elements of the tensors, which are dense and row-major. */\n";
    for (auto [tensor, tensorName] : llvm::zip(plan.inputs(), inputs))
      writeCount(tensor, tensorName);
    for (auto [tensor, tensorName] : llvm::zip(plan.outputs(), outputs))
      writeCount(tensor, tensorName);
    os << "\n";
  }

  void describe(StringRef kind, const gru_plan_tensor &tensor,
                StringRef tensorName) {
    os << "     " << kind << " " << tensorName << ": "
       << gru_dtype_name(tensor.dtype) << " " << shape(tensor);
    if (tensorName != plan.name(tensor))
      os << ", '" << inComment(plan.name(tensor)) << "' of the model";
    os << "\n";
  }

  void writeFunctions() {
    bool takes = artifact.takesWeights();
    bool external = takes && !artifact.hasOwnWeights();
    os << "/* One stream. Used by one thread at a time. */\n"
       << "typedef struct " << name << " " << name << ";\n\n";

    os << "/* Makes a stream in the caller's memory, with zeros as state. It "
          "stays valid as\n   long as the memory does, and needs no end.";
    if (external)
      os << " `weights` are " << upper << "_WEIGHTS_BYTES,\n   aligned to "
         << upper
         << "_ALIGNMENT, and stay the caller's: the file that\n   "
            "--emit=weights writes, or what gru_pack_weights makes of "
         << name << "_artifact.";
    os << "\n   NULL if the memory is too small or not aligned";
    if (hasSymbols())
      os << ", or max_timesteps out of range";
    os << ". */\n"
       << name << " *" << name << "_init(void *memory, size_t size"
       << (hasSymbols() ? ", int64_t max_timesteps" : "")
       << (external ? ", const void *weights" : "") << ");\n\n";

    os << "/* Reads the inputs, advances the state, writes the outputs:\n";
    for (auto [tensor, tensorName] : llvm::zip(plan.inputs(), inputs))
      describe("in ", tensor, tensorName);
    for (auto [tensor, tensorName] : llvm::zip(plan.outputs(), outputs))
      describe("out", tensor, tensorName);
    os << "   Outputs may overlap nothing. No allocation, no lock, no system "
          "call. Returns 0";
    if (hasSymbols())
      os << ",\n   or -1 where a length is below 1 or above max_timesteps, and "
            "then does nothing";
    os << ". */\nint " << name << "_run(" << name << " *stream";
    for (const std::string &symbol : symbols)
      os << ", int64_t " << symbol;
    for (auto [tensor, tensorName] : llvm::zip(plan.inputs(), inputs))
      os << ", const " << cType(tensor.dtype) << " *" << tensorName;
    for (auto [tensor, tensorName] : llvm::zip(plan.outputs(), outputs))
      os << ", " << cType(tensor.dtype) << " *" << tensorName;
    os << ");\n\n";

    os << "/* Makes the state zeros: a new sequence starts. */\n"
       << "void " << name << "_reset(" << name << " *stream);\n\n";

    os << "/* The state, " << upper
       << "_STATE_BYTES to copy out, or back in between runs.";
    for (const gru_plan_tensor &tensor : plan.states())
      os << "\n     byte " << tensor.offset << ": "
         << inComment(plan.name(tensor)) << ", " << gru_dtype_name(tensor.dtype)
         << " " << shape(tensor);
    os << " */\nvoid *" << name << "_state(" << name << " *stream);\n\n";

    if (takes)
      os << "/* Takes other weights from the next run on: " << upper
         << "_WEIGHTS_BYTES, aligned,\n   in the form of the model's "
            "own (gru_pack_weights with "
         << name << "_artifact). They stay\n   the caller's. */\nvoid " << name
         << "_set_weights(" << name << " *stream, const void *weights);\n\n";

    os << "/* For gru_program_open of gru/runtime.h; most programs need no "
          "runtime. */\n"
       << "struct gru_artifact;\nextern const struct gru_artifact " << name
       << "_artifact;\n\n";
  }

  const Artifact &artifact;
  const runtime::Plan &plan;
  std::string name, upper;
  llvm::raw_ostream &os;
  llvm::StringSet<> taken;
  std::vector<std::string> inputs, outputs, symbols;
};

} // namespace

void gru::writeHeader(const Artifact &artifact, const llvm::Module &module,
                      llvm::raw_ostream &os) {
  HeaderWriter(artifact, os).write(module);
}
