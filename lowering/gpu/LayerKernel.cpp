//===- LayerKernel.cpp - one layer, all timesteps, on a GPU ---------------===//
//
// A warp takes one unit: its lanes add up the products of the old state, whose
// elements lie side by side, with the unit's weights, which do too. A barrier
// over the grid separates the steps, because each unit needs the whole old
// state.
//
//===----------------------------------------------------------------------===//

#include "lowering/gpu/LayerKernel.h"

#include "lowering/gpu/TiledProduct.h"

using namespace mlir;
using namespace gru;

namespace {
class Kernel : KernelBuilder {
public:
  Kernel(OpBuilder &b, DeviceRnnOp op, gpu::GPUModuleOp module)
      : KernelBuilder(b, op.getLoc()), op(op), units(op.getUnits()),
        features(op.getFeatures()), batch(op.getBatch()),
        element(op.getInputType().getElementType()),
        resetAfter(op.getResetAfter()), masked(op.getMask() != nullptr),
        module(module) {}

  /// x W for all timesteps, in the order of the input.
  void emitProjection() {
    OpBuilder::InsertionGuard guard(b);
    LLVM::GlobalOp memory = makeProductMemory(*this, module, element);
    Values args = beginKernel(module, "gru_project",
                              {pointer, pointer, pointer, b.getI64Type()});
    time = toIndex(args[3]);
    int64_t columns = 3 * units;
    auto left = [&](Value item, Value f) {
      return load(args[0], add(mul(item, features), f));
    };
    auto right = [&](Value f, Value column) {
      return load(args[1], add(mul(f, columns), column));
    };
    auto finish = [&](Value item, Value column, Value sum) {
      store(sum, args[2], add(mul(item, columns), column));
    };
    emitTiledProduct(
        *this, memory,
        {mul(time, batch), features, columns, element, left, right, finish});
    endKernel();
  }

  /// `lanes`: a lane keeps its part of its warp's unit's weights in registers.
  void emitLayer(StringRef name, bool lanes) {
    OpBuilder::InsertionGuard guard(b);
    inRegisters = lanes;
    if (!inRegisters) {
      b.setInsertionPointToStart(module.getBody());
      // Dynamic shared memory: its size is a parameter of the launch.
      shared = LLVM::GlobalOp::create(
          b, loc, LLVM::LLVMArrayType::get(element, 0), /*isConstant=*/false,
          LLVM::Linkage::External, "gru_shared", Attribute(), /*alignment=*/16,
          /*addrSpace=*/3);
    }
    SmallVector<Type> types(11, pointer);
    types.append({b.getI64Type(), b.getI32Type()});
    Values args = beginKernel(module, name, types,
                              inRegisters ? kWarp * getMaxUnitsPerBlock(units)
                                          : kGPUThreads,
                              /*anyNumber=*/inRegisters);
    unsigned next = 0;
    for (Value *argument :
         {&recurrent, &bias, &projection, &state, &gates, &mask, &emitFlags,
          &sequence, &last, &newState, &counter})
      *argument = args[next++];
    time = toIndex(args[next++]);
    resident = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne,
                                     args[next], zero(b.getI32Type()));
    thread = threadId();
    block = blockId();
    numBlocks = gridSize();
    warp = div(thread, index(kWarp));
    lane = rem(thread, index(kWarp));
    if (inRegisters) {
      loadRegisters();
    } else {
      // Units block, block + numBlocks, ... below H.
      owned = div(sub(add(index(units - 1), numBlocks), block), numBlocks);
      when(resident, [&] { loadShared(); });
    }
    if (masked)
      emitEmitFlags();
    Value arrivals = emitBarrier(numBlocks);
    loop(index(0), time, index(1), {arrivals},
         [&](Value i, ValueRange carried) {
           Value target = emitStep(i, carried[0]);
           return Values{target};
         });
    endKernel();
  }

private:
  //===--- Small things ---------------------------------------------------===//

  Value number(double value) {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(element, value));
  }
  Value offset(Value base, Value at) { return address(base, at, element); }
  Value load(Value base, Value at) {
    return KernelBuilder::load(element, base, at);
  }

  /// Step (row, t) of what is [B, T, ...] or [T, B, ...].
  Value at(Value row, Value t) {
    return op.getTimeMajor() ? add(mul(t, batch), row) : add(mul(row, time), t);
  }
  Value timeOf(Value i) {
    return op.getGoBackwards() ? sub(sub(time, index(1)), i) : i;
  }

  //===--- Weights --------------------------------------------------------===//

  /// The block's units' weights, once.
  void loadShared() {
    Value base = addressOf(shared), size = index(3 * units);
    loop(index(0), owned, index(1), [&](Value j) {
      Value unit = add(block, mul(j, numBlocks));
      loop(thread, size, index(kGPUThreads), [&](Value i) {
        store(load(recurrent, add(mul(unit, size), i)), base,
              add(mul(j, size), i));
      });
    });
  }

  /// k = lane + 32 chunk, held below `units`, and whether it was.
  std::pair<Value, Value> clamped(int64_t chunk) {
    Value k = add(lane, index(chunk * kWarp));
    if ((chunk + 1) * kWarp <= units)
      return {k, Value()};
    Value inside = less(k, index(units));
    return {select(inside, k, index(0)), inside};
  }
  int64_t numChunks() const { return (units + kWarp - 1) / kWarp; }

  /// Weights [gate][chunk] of the warp's unit; zeros beyond what there is.
  void loadRegisters() {
    Value unit = add(block, mul(warp, numBlocks));
    hasUnit = less(unit, index(units));
    ownUnit = select(hasUnit, unit, index(0));
    registers.clear();
    for (int64_t gate = 0; gate < 3; ++gate)
      for (int64_t chunk = 0; chunk < numChunks(); ++chunk) {
        auto [k, inside] = clamped(chunk);
        Value row = add(mul(ownUnit, 3 * units), index(gate * units));
        Value weight = load(recurrent, add(row, k));
        registers.push_back(inside ? select(inside, weight, number(0))
                                   : weight);
      }
  }

  /// Whether each step of each row shows its state or zeros; a row per thread.
  void emitEmitFlags() {
    forEachItem(index(batch), [&](Value row) {
      loop(index(0), time, index(1), {zero(b.getI1Type())},
           [&](Value i, ValueRange seen) {
             Value valid = loadFlag(mask, at(row, timeOf(i)));
             Value any = arith::OrIOp::create(b, loc, seen[0], valid);
             storeFlag(op.getZeroOutputForMask() ? valid : any, emitFlags,
                       add(mul(i, batch), row));
             return Values{any};
           });
    });
  }

  /// All blocks arrive before one leaves. `target` is how many arrivals that
  /// makes since the launch; the next barrier's is returned.
  Value emitBarrier(Value target) {
    gpu::BarrierOp::create(b, loc);
    when(equal(thread, index(0)), [&] {
      Type i32 = b.getI32Type();
      Value one = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(1));
      // NVPTX drops the order of an atomic addition, which PTX then takes as
      // relaxed: what the block has stored is released by a fence of its own.
      LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::acq_rel, "device");
      LLVM::AtomicRMWOp::create(b, loc, LLVM::AtomicBinOp::add, counter, one,
                                LLVM::AtomicOrdering::monotonic, "device");
      Value all = arith::IndexCastOp::create(b, loc, i32, target);
      scf::WhileOp::create(
          b, loc, TypeRange{}, ValueRange{},
          [&](OpBuilder &b, Location loc, ValueRange) {
            Value arrived = LLVM::LoadOp::create(
                b, loc, i32, counter, /*alignment=*/4, /*isVolatile=*/false,
                /*isNonTemporal=*/false, /*isInvariant=*/false,
                /*isInvariantGroup=*/false, LLVM::AtomicOrdering::acquire,
                "device");
            Value wait = arith::CmpIOp::create(
                b, loc, arith::CmpIPredicate::slt, arrived, all);
            scf::ConditionOp::create(b, loc, wait, ValueRange{});
          },
          [&](OpBuilder &b, Location loc, ValueRange) {
            scf::YieldOp::create(b, loc);
          });
    });
    gpu::BarrierOp::create(b, loc);
    return add(target, numBlocks);
  }

  //===--- A step ---------------------------------------------------------===//

  /// For each row and owned unit, one warp: body(row, unit, its weights).
  void forEachUnit(llvm::function_ref<void(Value, Value, Value)> body) {
    if (inRegisters)
      return when(hasUnit, [&] {
        loop(index(0), index(batch), index(1),
             [&](Value row) { body(row, ownUnit, Value()); });
      });
    loop(warp, mul(owned, batch), index(kGPUThreads / kWarp), [&](Value item) {
      Value row = div(item, owned), j = rem(item, owned);
      Value unit = add(block, mul(j, numBlocks));
      Value weights =
          select(resident, offset(addressOf(shared), mul(j, 3 * units)),
                 offset(recurrent, mul(unit, 3 * units)));
      body(row, unit, weights);
    });
  }

  /// A lane's part of the sums below.
  Values partialSums(Value vector, Value weights, int64_t first,
                     int64_t count) {
    Values sums(count, number(0));
    if (!inRegisters)
      return loop(lane, index(units), index(kWarp), sums,
                  [&](Value k, ValueRange carried) {
                    Value h = load(vector, k);
                    Values next;
                    for (int64_t g = 0; g < count; ++g) {
                      Value w =
                          load(weights, add(index((first + g) * units), k));
                      next.push_back(fma(h, w, carried[g]));
                    }
                    return next;
                  });
    for (int64_t chunk = 0; chunk < numChunks(); ++chunk) {
      auto [k, inside] = clamped(chunk);
      Value h = load(vector, k);
      if (inside)
        h = select(inside, h, number(0));
      for (int64_t g = 0; g < count; ++g)
        sums[g] = fma(h, registers[(first + g) * numChunks() + chunk], sums[g]);
    }
    return sums;
  }

  /// sum over k of vector[k] * weights[gate][k], for gates [first, first +
  /// count), in all lanes.
  Values sums(Value vector, Value weights, int64_t first, int64_t count) {
    Values result = partialSums(vector, weights, first, count);
    for (Value &sum : result)
      for (int32_t distance = kWarp / 2; distance > 0; distance /= 2) {
        auto shuffle = gpu::ShuffleOp::create(b, loc, sum, distance, kWarp,
                                              gpu::ShuffleMode::XOR);
        sum = addf(sum, shuffle.getShuffleResult());
      }
    return result;
  }

  Value activate(ActAttr activation, Value x) {
    if (FloatAttr clip = op.getClipAttr()) {
      double bound = clip.getValueAsDouble();
      x = arith::MinimumFOp::create(b, loc, x, number(bound));
      x = arith::MaximumFOp::create(b, loc, x, number(-bound));
    }
    return ActivationOp::create(b, loc, x.getType(), x, activation);
  }

  Value project(Value row, Value unit, Value t, int64_t gate) {
    Value column = add(index(gate * units), unit);
    return addf(load(projection, add(mul(at(row, t), 3 * units), column)),
                load(bias, column));
  }

  /// Blends, applies the mask and stores; lane 0 does.
  void finish(Value i, Value t, Value row, Value unit, Value old, Value next,
              Value z, Value candidate) {
    Value place = add(mul(row, units), unit);
    Value h = load(old, place);
    Value blended =
        addf(mulf(z, h),
             mulf(arith::SubFOp::create(b, loc, number(1), z), candidate));
    Value output = blended;
    if (masked) {
      blended = select(loadFlag(mask, at(row, t)), blended, h);
      Value shown = loadFlag(emitFlags, add(mul(i, batch), row));
      output = select(shown, blended, number(0));
    }
    when(equal(lane, index(0)), [&] {
      store(blended, next, place);
      if (!op.getSequences().empty()) {
        Value position = op.getWritesWhereRead() ? t : i;
        store(output, sequence, add(mul(at(row, position), units), unit));
      }
      if (op.getLasts().empty() && op.getStates().empty())
        return;
      when(equal(i, sub(time, index(1))), [&] {
        if (!op.getLasts().empty())
          store(output, last, place);
        if (!op.getStates().empty())
          store(blended, newState, place);
      });
    });
  }

  Value emitStep(Value i, Value target) {
    Value t = timeOf(i), size = index(batch * units);
    Value parity = rem(i, index(2));
    Value old = offset(state, mul(parity, size));
    Value next = offset(state, mul(sub(index(1), parity), size));
    ActAttr gateAct = op.getRecurrentActivation(), act = op.getActivation();
    auto rowOf = [&](Value buffer, Value row) {
      return offset(buffer, mul(row, units));
    };

    if (resetAfter) {
      forEachUnit([&](Value row, Value unit, Value weights) {
        Values sum = sums(rowOf(old, row), weights, 0, 3);
        Value z = activate(gateAct, addf(project(row, unit, t, 0), sum[0]));
        Value r = activate(gateAct, addf(project(row, unit, t, 1), sum[1]));
        Value product = addf(sum[2], load(bias, add(index(3 * units), unit)));
        Value candidate =
            activate(act, addf(project(row, unit, t, 2), mulf(r, product)));
        finish(i, t, row, unit, old, next, z, candidate);
      });
      return emitBarrier(target);
    }

    Value resetState = offset(gates, size);
    forEachUnit([&](Value row, Value unit, Value weights) {
      Values sum = sums(rowOf(old, row), weights, 0, 2);
      Value z = activate(gateAct, addf(project(row, unit, t, 0), sum[0]));
      Value r = activate(gateAct, addf(project(row, unit, t, 1), sum[1]));
      Value place = add(mul(row, units), unit);
      when(equal(lane, index(0)), [&] {
        store(z, gates, place);
        store(mulf(r, load(old, place)), resetState, place);
      });
    });
    target = emitBarrier(target);
    forEachUnit([&](Value row, Value unit, Value weights) {
      Values sum = sums(rowOf(resetState, row), weights, 2, 1);
      Value candidate = activate(act, addf(project(row, unit, t, 2), sum[0]));
      Value z = load(gates, add(mul(row, units), unit));
      finish(i, t, row, unit, old, next, z, candidate);
    });
    return emitBarrier(target);
  }

  DeviceRnnOp op;
  const int64_t units, features, batch;
  const Type element;
  const bool resetAfter, masked;
  gpu::GPUModuleOp module;
  bool inRegisters = false;
  LLVM::GlobalOp shared;
  Values registers;
  Value recurrent, bias, projection, state, gates, mask, emitFlags, sequence,
      last, newState, counter;
  Value time, resident, thread, block, numBlocks, warp, lane, owned, ownUnit,
      hasUnit;
};
} // namespace

gpu::GPUModuleOp gru::emitLayerKernel(OpBuilder &b, DeviceRnnOp op,
                                      StringRef name) {
  auto module = gpu::GPUModuleOp::create(b, op.getLoc(), name);
  Kernel kernel(b, op, module);
  kernel.emitProjection();
  kernel.emitLayer("gru_layer", /*lanes=*/false);
  if (op.getUnits() <= kMaxUnitsInRegisters)
    kernel.emitLayer("gru_layer_in_registers", /*lanes=*/true);
  return module;
}
