//===- LowerEntry.cpp - the calling convention of a kernel ----------------===//
//
// The struct and the meaning of its fields stand in runtime/include/gru/plan.h.
//
//===----------------------------------------------------------------------===//

#include "dialect/GRUDeviceOps.h"
#include "lowering/Passes.h"
#include "lowering/common/Descriptors.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/MathExtras.h"

namespace gru {
#define GEN_PASS_DEF_LOWERENTRYPASS
#include "lowering/Passes.h.inc"
} // namespace gru

using namespace mlir;
using namespace gru;

namespace {
/// Positions of the fields of gru_call.
enum CallField { In, Out, Weights, State, Scratch, Dims, Team, Device };

struct LowerEntryPass : gru::impl::LowerEntryPassBase<LowerEntryPass> {
  using LowerEntryPassBase::LowerEntryPassBase;

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    if (func.isPrivate())
      return;
    for (auto other : func->getParentOfType<ModuleOp>().getOps<func::FuncOp>())
      if (other != func && !other.isPrivate()) {
        func.emitError()
            << "is not the module's only public function, expected one";
        return signalPassFailure();
      }
    if (func.getNumResults() != 0) {
      func.emitError() << "has results, expected buffers (see "
                          "gru-bind-buffers)";
      return signalPassFailure();
    }
    MLIRContext *context = &getContext();
    Builder attributes(context);
    OpBuilder b = OpBuilder::atBlockBegin(&func.getBody().front());
    LLVMTypeConverter converter(context);
    Location loc = func.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(context);
    auto callType = LLVM::LLVMStructType::getLiteral(
        context, SmallVector<Type>(8, pointer));

    unsigned numOld = func.getNumArguments();
    Block &body = func.getBody().front();
    Value call = body.addArgument(pointer, loc);
    body.addArgument(attributes.getI32Type(), loc);

    auto field = [&](CallField which) -> Value {
      Value address =
          LLVM::GEPOp::create(b, loc, pointer, callType, call,
                              ArrayRef<LLVM::GEPArg>{0, int32_t(which)});
      return LLVM::LoadOp::create(b, loc, pointer, address);
    };
    auto element = [&](Value array, Type type, int64_t index) -> Value {
      Value address = LLVM::GEPOp::create(
          b, loc, pointer, type, array, ArrayRef<LLVM::GEPArg>{int32_t(index)});
      return LLVM::LoadOp::create(b, loc, type, address);
    };
    auto byteOffset = [&](Value base, int64_t bytes) -> Value {
      return LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), base,
                                 ArrayRef<LLVM::GEPArg>{int32_t(bytes)});
    };

    // Symbols: dims[s] is the dimension `dim` of input argument `argument`.
    auto symbols = func->getAttrOfType<ArrayAttr>(kSymbolsAttr);
    SmallVector<Value> symbolValues;
    Value dims = field(Dims);
    for (size_t s = 0; symbols && s < symbols.size(); ++s)
      symbolValues.push_back(element(dims, b.getI64Type(), s));

    Value in = field(In), out = field(Out), weights = field(Weights);
    Value state = field(State), scratch = field(Scratch);
    SmallVector<Attribute> inputs, outputs, states;
    DenseMap<int64_t, int64_t> inputOfArgument;
    int64_t stateBytes = 0;
    for (unsigned i = 0; i < numOld; ++i) {
      BlockArgument argument = body.getArgument(i);
      auto type = cast<MemRefType>(argument.getType());
      DictionaryAttr attrs = func.getArgAttrDict(i);
      if (!attrs)
        attrs = attributes.getDictionaryAttr({});
      SmallVector<int64_t> shape(type.getShape());
      Value address;
      if (auto offset = attrs.getAs<IntegerAttr>(kPackedAttr)) {
        address = byteOffset(weights, offset.getInt());
      } else if (attrs.contains(kScratchAttr)) {
        address = scratch;
      } else if (attrs.contains(kDeviceAttr)) {
        address = field(Device);
      } else if (attrs.contains(kStateAttr)) {
        address = byteOffset(state, stateBytes);
        states.push_back(
            describe(attrs, type, shape,
                     {attributes.getNamedAttr(
                         "offset", attributes.getI64IntegerAttr(stateBytes))}));
        stateBytes = llvm::alignTo(
            stateBytes + type.getNumElements() *
                             llvm::divideCeil(type.getElementTypeBitWidth(), 8),
            64);
      } else {
        if (auto dimensions = attrs.getAs<DenseI64ArrayAttr>(kDimsAttr))
          shape = llvm::to_vector(dimensions.asArrayRef());
        if (attrs.contains(kOutputAttr)) {
          address = element(out, pointer, outputs.size());
          outputs.push_back(describe(attrs, type, shape, {}));
        } else {
          address = element(in, pointer, inputs.size());
          inputOfArgument[i] = inputs.size();
          inputs.push_back(describe(attrs, type, shape, {}));
        }
      }
      // Blocks of memory are as long as they need to be.
      bool isBlock =
          attrs.contains(kScratchAttr) || attrs.contains(kDeviceAttr);
      Value buffer = makeBufferAt(
          b, loc, converter, type, address, [&](int64_t dim) -> Value {
            if (shape[dim] < 0 && !isBlock)
              return symbolValues[-1 - shape[dim]];
            return LLVM::ConstantOp::create(
                b, loc, b.getI64Type(),
                b.getI64IntegerAttr(isBlock ? INT64_MAX : shape[dim]));
          });
      argument.replaceAllUsesWith(buffer);
    }

    SmallVector<Attribute> symbolAttrs;
    for (Attribute attr :
         symbols ? symbols.getValue() : ArrayRef<Attribute>()) {
      auto where = cast<DenseI64ArrayAttr>(attr);
      symbolAttrs.push_back(attributes.getDenseI64ArrayAttr(
          {inputOfArgument.lookup(where[0]), where[1]}));
    }
    auto array = [&](StringRef name) -> Attribute {
      Attribute attr = func->getAttr(name);
      return attr ? attr : attributes.getArrayAttr({});
    };
    auto bytes = func->getAttr("gru.weights_bytes");
    DictionaryAttr plan = attributes.getDictionaryAttr({
        attributes.getNamedAttr("inputs", attributes.getArrayAttr(inputs)),
        attributes.getNamedAttr("outputs", attributes.getArrayAttr(outputs)),
        attributes.getNamedAttr("states", attributes.getArrayAttr(states)),
        attributes.getNamedAttr("state_bytes",
                                attributes.getI64IntegerAttr(stateBytes)),
        attributes.getNamedAttr("weights", array("gru.weights")),
        attributes.getNamedAttr(
            "weights_bytes", bytes ? bytes : attributes.getI64IntegerAttr(0)),
        attributes.getNamedAttr("packs", array(kPackProgramAttr)),
        attributes.getNamedAttr("symbols",
                                attributes.getArrayAttr(symbolAttrs)),
        attributes.getNamedAttr("scratch", array(kScratchRegionsAttr)),
        attributes.getNamedAttr("parts", array(kDevicePartsAttr)),
    });
    for (StringRef name :
         {StringRef("gru.weights"), StringRef("gru.weights_bytes"),
          StringRef(kPackProgramAttr), StringRef(kSymbolsAttr),
          StringRef(kScratchRegionsAttr), StringRef(kDevicePartsAttr)})
      func->removeAttr(name);
    body.eraseArguments(0, numOld);
    func.removeArgAttrsAttr();
    func.setFunctionType(
        attributes.getFunctionType(body.getArgumentTypes(), {}));
    func.setName(name);
    func.setPublic();
    func->setAttr(kPlanAttr, plan);
  }

  DictionaryAttr describe(DictionaryAttr attrs, MemRefType type,
                          ArrayRef<int64_t> shape,
                          ArrayRef<NamedAttribute> more) {
    Builder b(&getContext());
    auto name = attrs.getAs<StringAttr>(kNameAttr);
    SmallVector<NamedAttribute> fields{
        b.getNamedAttr("name", name ? name : b.getStringAttr("")),
        b.getNamedAttr("type", TypeAttr::get(type.getElementType())),
        b.getNamedAttr("shape", b.getDenseI64ArrayAttr(shape))};
    if (attrs.contains(kOnHostAttr))
      fields.push_back(b.getNamedAttr("on_host", b.getUnitAttr()));
    llvm::append_range(fields, more);
    return b.getDictionaryAttr(fields);
  }
};
} // namespace
