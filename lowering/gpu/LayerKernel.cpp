//===- LayerKernel.cpp - one layer, all timesteps, on a GPU ----------------===//
//
// Block b owns the units b, b + gridDim, ... In each step a warp takes one row
// and one of them: its lanes add up the products of the old state, whose
// elements lie side by side, with the unit's weights, which do too. A barrier
// over the grid separates the steps, because each unit needs the whole old state.
//
//===----------------------------------------------------------------------===//

#include "lowering/gpu/LayerKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace gru;

namespace {
constexpr int64_t kWarp = 32;

class Kernel {
public:
  Kernel(OpBuilder &b, DeviceRnnOp op, StringRef name)
      : b(b), loc(op.getLoc()), op(op), units(op.getUnits()),
        features(op.getFeatures()), batch(op.getBatch()),
        element(op.getInputType().getElementType()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())),
        resetAfter(op.getResetAfter()), masked(op.getMask() != nullptr) {
    module = gpu::GPUModuleOp::create(b, loc, name);
  }

  gpu::GPUModuleOp emit() {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    // Dynamic shared memory: its size is a parameter of the launch.
    shared = LLVM::GlobalOp::create(
        b, loc, LLVM::LLVMArrayType::get(element, 0), /*isConstant=*/false,
        LLVM::Linkage::External, "gru_shared", Attribute(), /*alignment=*/16,
        /*addrSpace=*/3);
    SmallVector<Type> types(13, pointer);
    types.append({b.getI64Type(), b.getI32Type()});
    auto func = gpu::GPUFuncOp::create(b, loc, "gru_layer",
                                       b.getFunctionType(types, {}));
    func->setAttr(gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
    func.setKnownBlockSizeAttr(
        b.getDenseI32ArrayAttr({int32_t(kGPUThreads), 1, 1}));
    b.setInsertionPointToStart(&func.getBody().front());
    ValueRange args = func.getArguments();
    unsigned next = 0;
    for (Value *argument :
         {&input, &kernel, &recurrent, &bias, &projection, &state, &gates,
          &mask, &emitFlags, &sequence, &last, &newState, &counter})
      *argument = args[next++];
    time = toIndex(args[next++]);
    resident = arith::CmpIOp::create(
        b, loc, arith::CmpIPredicate::ne, args[next],
        arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0)));

    thread = gpu::ThreadIdOp::create(b, loc, gpu::Dimension::x);
    block = gpu::BlockIdOp::create(b, loc, gpu::Dimension::x);
    numBlocks = gpu::GridDimOp::create(b, loc, gpu::Dimension::x);
    warp = div(thread, index(kWarp));
    lane = rem(thread, index(kWarp));
    // Units block, block + numBlocks, ... below H.
    owned = div(sub(add(index(units - 1), numBlocks), block), numBlocks);
    emitShared();
    emitProjection();
    if (masked)
      emitEmitFlags();
    Value arrivals = emitBarrier(numBlocks);
    loop(index(0), time, index(1), {arrivals}, [&](Value i, ValueRange carried) {
      Value target = emitStep(i, carried[0]);
      return SmallVector<Value>{target};
    });
    gpu::ReturnOp::create(b, loc);
    return module;
  }

private:
  //===--- Small things ---------------------------------------------------===//

  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, loc, value);
  }
  Value number(double value) {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(element, value));
  }
  Value toIndex(Value value) {
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), value);
  }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubIOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulIOp::create(b, loc, x, y); }
  Value mul(Value x, int64_t y) { return mul(x, index(y)); }
  Value div(Value x, Value y) { return arith::DivUIOp::create(b, loc, x, y); }
  Value rem(Value x, Value y) { return arith::RemUIOp::create(b, loc, x, y); }
  Value addf(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value mulf(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value equal(Value x, Value y) {
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x, y);
  }
  Value select(Value c, Value x, Value y) {
    return arith::SelectOp::create(b, loc, c, x, y);
  }

  Value address(Value base, Value at, Type type) {
    Value offset = arith::IndexCastOp::create(b, loc, b.getI64Type(), at);
    return LLVM::GEPOp::create(b, loc, pointer, type, base,
                               ArrayRef<LLVM::GEPArg>{offset});
  }
  Value offset(Value base, Value at) { return address(base, at, element); }
  Value load(Value base, Value at) {
    return LLVM::LoadOp::create(b, loc, element, address(base, at, element));
  }
  void store(Value value, Value base, Value at) {
    LLVM::StoreOp::create(b, loc, value, address(base, at, element));
  }
  /// A byte as a condition, and back.
  Value loadFlag(Value base, Value at) {
    Value byte = LLVM::LoadOp::create(b, loc, b.getI8Type(),
                                      address(base, at, b.getI8Type()));
    return arith::CmpIOp::create(
        b, loc, arith::CmpIPredicate::ne, byte,
        arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(0)));
  }
  void storeFlag(Value flag, Value base, Value at) {
    Value byte = arith::ExtUIOp::create(b, loc, b.getI8Type(), flag);
    LLVM::StoreOp::create(b, loc, byte, address(base, at, b.getI8Type()));
  }

  SmallVector<Value>
  loop(Value from, Value to, Value step, ValueRange carried,
       llvm::function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    auto loop = scf::ForOp::create(
        b, loc, from, to, step, carried,
        [&](OpBuilder &inner, Location, Value i, ValueRange values) {
          OpBuilder::InsertionGuard guard(b);
          b.restoreInsertionPoint(inner.saveInsertionPoint());
          SmallVector<Value> next = body(i, values);
          scf::YieldOp::create(b, loc, next);
        });
    return SmallVector<Value>(loop.getResults());
  }
  void loop(Value from, Value to, Value step,
            llvm::function_ref<void(Value)> body) {
    loop(from, to, step, {}, [&](Value i, ValueRange) {
      body(i);
      return SmallVector<Value>{};
    });
  }
  void when(Value condition, llvm::function_ref<void()> body) {
    auto branch = scf::IfOp::create(b, loc, condition, false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    body();
  }

  /// Step (row, t) of what is [B, T, ...] or [T, B, ...].
  Value at(Value row, Value t) {
    return op.getTimeMajor() ? add(mul(t, batch), row)
                             : add(mul(row, time), t);
  }
  Value timeOf(Value i) {
    return op.getGoBackwards() ? sub(sub(time, index(1)), i) : i;
  }

  //===--- Parts ----------------------------------------------------------===//

  Value sharedBase() {
    Value base = LLVM::AddressOfOp::create(b, loc, shared);
    return LLVM::AddrSpaceCastOp::create(b, loc, pointer, base);
  }

  /// The block's units' weights, once.
  void emitShared() {
    when(resident, [&] {
      Value base = sharedBase(), size = index(3 * units);
      loop(index(0), owned, index(1), [&](Value j) {
        Value unit = add(block, mul(j, numBlocks));
        loop(thread, size, index(kGPUThreads), [&](Value i) {
          store(load(recurrent, add(mul(unit, size), i)), base,
                add(mul(j, size), i));
        });
      });
    });
  }

  /// x W and the biases that need no waiting, for all timesteps: one sum per
  /// thread, neighbours taking neighbouring columns.
  void emitProjection() {
    Value columns = index(3 * units);
    Value total = mul(mul(time, batch), columns);
    loop(add(mul(block, kGPUThreads), thread), total,
         mul(numBlocks, kGPUThreads), [&](Value item) {
           Value column = rem(item, columns), step = div(item, columns);
           Value t = div(step, index(batch)), row = rem(step, index(batch));
           Value first = load(bias, column);
           if (resetAfter) {
             // z and r only ever see the sum of both biases.
             Value isGate = arith::CmpIOp::create(
                 b, loc, arith::CmpIPredicate::ult, column, index(2 * units));
             Value second = load(bias, add(column, columns));
             first = addf(first, select(isGate, second, number(0)));
           }
           Value x = offset(input, mul(at(row, t), features));
           SmallVector<Value> sum = loop(
               index(0), index(features), index(1), {first},
               [&](Value f, ValueRange sums) {
                 Value product = mulf(
                     load(x, f), load(kernel, add(mul(f, columns), column)));
                 return SmallVector<Value>{addf(sums[0], product)};
               });
           store(sum[0], projection, item);
         });
  }

  /// Whether each step of each row shows its state or zeros; a row per thread.
  void emitEmitFlags() {
    loop(add(mul(block, kGPUThreads), thread), index(batch),
         mul(numBlocks, kGPUThreads), [&](Value row) {
           Value no = arith::ConstantOp::create(b, loc, b.getBoolAttr(false));
           loop(index(0), time, index(1), {no},
                [&](Value i, ValueRange seen) {
                  Value valid = loadFlag(mask, at(row, timeOf(i)));
                  Value any = arith::OrIOp::create(b, loc, seen[0], valid);
                  storeFlag(op.getZeroOutputForMask() ? valid : any, emitFlags,
                            add(mul(i, batch), row));
                  return SmallVector<Value>{any};
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
      LLVM::AtomicRMWOp::create(b, loc, LLVM::AtomicBinOp::add, counter, one,
                                LLVM::AtomicOrdering::acq_rel, "device");
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
    loop(warp, mul(owned, batch), index(kGPUThreads / kWarp), [&](Value item) {
      Value row = div(item, owned), j = rem(item, owned);
      Value unit = add(block, mul(j, numBlocks));
      Value weights = select(resident, offset(sharedBase(), mul(j, 3 * units)),
                             offset(recurrent, mul(unit, 3 * units)));
      body(row, unit, weights);
    });
  }

  /// sum over k of vector[k] * weights[gate][k], for gates [first, first +
  /// count), in all lanes.
  SmallVector<Value> sums(Value vector, Value weights, int64_t first,
                          int64_t count) {
    SmallVector<Value> zeros(count, number(0));
    SmallVector<Value> result = loop(
        lane, index(units), index(kWarp), zeros,
        [&](Value k, ValueRange carried) {
          Value h = load(vector, k);
          SmallVector<Value> next;
          for (int64_t g = 0; g < count; ++g)
            next.push_back(addf(
                carried[g],
                mulf(h, load(weights, add(index((first + g) * units), k)))));
          return next;
        });
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
    Value step = mul(add(mul(t, batch), row), 3 * units);
    return load(projection, add(add(step, index(gate * units)), unit));
  }

  /// Blends, applies the mask and stores; lane 0 does.
  void finish(Value i, Value t, Value row, Value unit, Value old, Value next,
              Value z, Value candidate) {
    Value place = add(mul(row, units), unit);
    Value h = load(old, place);
    Value blended = addf(
        mulf(z, h),
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
        SmallVector<Value> sum = sums(rowOf(old, row), weights, 0, 3);
        Value z = activate(gateAct, addf(project(row, unit, t, 0), sum[0]));
        Value r = activate(gateAct, addf(project(row, unit, t, 1), sum[1]));
        Value product =
            addf(sum[2], load(bias, add(index(5 * units), unit)));
        Value candidate = activate(
            act, addf(project(row, unit, t, 2), mulf(r, product)));
        finish(i, t, row, unit, old, next, z, candidate);
      });
      return emitBarrier(target);
    }

    Value resetState = offset(gates, size);
    forEachUnit([&](Value row, Value unit, Value weights) {
      SmallVector<Value> sum = sums(rowOf(old, row), weights, 0, 2);
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
      SmallVector<Value> sum = sums(rowOf(resetState, row), weights, 2, 1);
      Value candidate =
          activate(act, addf(project(row, unit, t, 2), sum[0]));
      Value z = load(gates, add(mul(row, units), unit));
      finish(i, t, row, unit, old, next, z, candidate);
    });
    return emitBarrier(target);
  }

  OpBuilder &b;
  Location loc;
  DeviceRnnOp op;
  const int64_t units, features, batch;
  const Type element;
  const Type pointer;
  const bool resetAfter, masked;
  gpu::GPUModuleOp module;
  LLVM::GlobalOp shared;
  Value input, kernel, recurrent, bias, projection, state, gates, mask,
      emitFlags, sequence, last, newState, counter;
  Value time, resident, thread, block, numBlocks, warp, lane, owned;
};
} // namespace

gpu::GPUModuleOp gru::emitLayerKernel(OpBuilder &b, DeviceRnnOp op,
                                      StringRef name) {
  return Kernel(b, op, name).emit();
}
