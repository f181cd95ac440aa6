#include "Block.h"

#include "device/Intrinsics.h"
#include "support/Error.h"

#include <vector>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const char *const thread_name = "thread";
/** Where the block's memory begins, in units of start_unit bytes. */
const char *const start_name = "shared.start";
const int start_unit = 16;

const char *const read_address = "strobe_read_address", *const written_address = "strobe_written_address";
const char *const begun = "strobe_begin_writes", *const completed = "strobe_complete_writes";
const char *const within_warp = "strobe_within_warp";
/** What a barrier fences, as Halide numbers it: nothing, for that of a warp; shared memory. */
const int warp_fence = 0, block_fence = 2;

bool is_address(const Call *op) {
    return op->name == read_address || op->name == written_address;
}

bool is_note(const Call *op) {
    return op->name == begun || op->name == completed || op->name == within_warp;
}

const std::string &array_of(const Call *op) {
    return op->args[0].as<StringImm>()->value;
}

Stmt note(const char *what, const std::string &array) {
    return Evaluate::make(Call::make(Int(32), what, {StringImm::make(array)}, Call::PureExtern));
}

bool is_thread_loop(const Stmt &s) {
    const For *loop = s.as<For>();
    return loop && loop->for_type == ForType::GPUThread;
}

bool is_barrier(const Call *call, bool of_block) {
    return call && call->is_intrinsic(Call::gpu_thread_barrier) && (!of_block || is_const(call->args[0], block_fence));
}

/** \p of_block: the block's barriers alone, not those of a warp. */
bool is_barrier(const Stmt &s, bool of_block) {
    const Evaluate *e = s.as<Evaluate>();
    return e && is_barrier(e->value.as<Call>(), of_block);
}

class FindBarrier : public IRVisitor {
    using IRVisitor::visit;
    const bool of_block;
    void visit(const Call *op) override {
        found |= is_barrier(op, of_block);
        IRVisitor::visit(op);
    }

public:
    bool found = false;
    explicit FindBarrier(bool of_block) : of_block(of_block) {
    }
};

bool has_barrier(const Stmt &s, bool of_block) {
    FindBarrier finder(of_block);
    s.accept(&finder);
    return finder.found;
}

Stmt barrier_with(int fence) {
    return Evaluate::make(Call::make(Int(32), Call::gpu_thread_barrier, {fence}, Call::Intrinsic));
}

void flatten(const Stmt &s, std::vector<Stmt> &list) {
    if (const Block *b = s.as<Block>()) {
        flatten(b->first, list);
        flatten(b->rest, list);
    } else {
        list.push_back(s);
    }
}

/** What a piece of code reads and writes of some arrays. */
struct Accesses {
    std::set<std::string> reads, writes;
    std::set<std::string> completions;  // writes that began earlier

    void add(const Accesses &o) {
        reads.insert(o.reads.begin(), o.reads.end());
        writes.insert(o.writes.begin(), o.writes.end());
        writes.insert(o.completions.begin(), o.completions.end());
    }
    static bool meet(const std::set<std::string> &a, const std::set<std::string> &b) {
        return std::any_of(a.begin(), a.end(), [&](const std::string &name) { return b.count(name) > 0; });
    }
    bool conflicts(const Accesses &later) const {
        return meet(writes, later.reads) || meet(writes, later.writes) || meet(reads, later.writes);
    }
};

/** Of the block's threads, and, apart from those, of arrays of which each warp uses a part of its own. */
struct AllAccesses {
    Accesses block, warp;

    void add(const AllAccesses &o) {
        block.add(o.block);
        warp.add(o.warp);
    }
    bool need_block(const AllAccesses &later) const {
        return block.conflicts(later.block) || block.conflicts(later.warp) || warp.conflicts(later.block);
    }
};

class FindAccesses : public IRVisitor {
    using IRVisitor::visit;
    const SharedArrays &arrays;
    std::set<std::string> own;  // of which the code says so
    bool all_own = false;

    Accesses &of(const std::string &name) {
        return own.count(name) || (all_own && arrays.divided.count(name)) ? found.warp : found.block;
    }
    void visit(const Call *op) override {
        if (op->name == within_warp) {
            all_own |= array_of(op).empty();
            own.insert(array_of(op));
        } else if (is_address(op) || is_note(op)) {
            Accesses &a = of(array_of(op));
            (op->name == completed      ? a.completions
             : op->name == read_address ? a.reads
                                        : a.writes)
                .insert(array_of(op));
        }
        IRVisitor::visit(op);
    }
    void visit(const Load *op) override {
        if (arrays.names.count(op->name)) {
            of(op->name).reads.insert(op->name);
        }
        IRVisitor::visit(op);
    }
    void visit(const Store *op) override {
        if (arrays.names.count(op->name)) {
            of(op->name).writes.insert(op->name);
        }
        IRVisitor::visit(op);
    }

public:
    AllAccesses found;
    explicit FindAccesses(const SharedArrays &arrays) : arrays(arrays) {
    }
};

class PlaceBarriers {
    const SharedArrays &arrays;
    AllAccesses pending;   // since the last barrier
    Accesses within_warp;  // of each warp's own, since its last barrier

    template<typename IR>
    AllAccesses accesses(const IR &code) const {
        FindAccesses finder(arrays);
        code.accept(&finder);
        for (Accesses *a : {&finder.found.block, &finder.found.warp}) {
            for (const std::string &name : a->completions) {
                a->writes.erase(name);
            }
        }
        return finder.found;
    }

    /** \p s, behind a barrier if it needs one. */
    Stmt guarded(const Stmt &s, const AllAccesses &own) {
        const bool block = pending.need_block(own), warp = block || within_warp.conflicts(own.warp);
        if (block) {
            pending = AllAccesses();
        }
        if (warp) {
            within_warp = Accesses();
        }
        pending.add(own);
        within_warp.add(own.warp);
        return block ? Block::make(barrier(), s) : warp ? Block::make(barrier_with(warp_fence), s) : s;
    }

public:
    explicit PlaceBarriers(const SharedArrays &arrays) : arrays(arrays) {
    }

    Stmt place(const Stmt &s) {
        if (const Block *b = s.as<Block>()) {
            const Stmt first = place(b->first);
            return Block::make(first, place(b->rest));
        }
        if (const LetStmt *let = s.as<LetStmt>()) {
            const Stmt fence = guarded(Evaluate::make(0), accesses(let->value));
            const Stmt result = LetStmt::make(let->name, let->value, place(let->body));
            return fence.as<Block>() ? Block::make(fence.as<Block>()->first, result) : result;
        }
        if (const Allocate *a = s.as<Allocate>()) {
            return Allocate::make(a->name, a->type, a->memory_type, a->extents, a->condition, place(a->body));
        }
        if (const IfThenElse *branch = s.as<IfThenElse>()) {
            const auto before = std::make_pair(pending, within_warp);
            const Stmt then_case = place(branch->then_case);
            const auto after = std::make_pair(pending, within_warp);
            std::tie(pending, within_warp) = before;
            const Stmt else_case = branch->else_case.defined() ? place(branch->else_case) : Stmt();
            pending.add(after.first);
            within_warp.add(after.second);
            return IfThenElse::make(branch->condition, then_case, else_case);
        }
        if (const For *loop = s.as<For>(); loop && !is_thread_loop(s)) {
            // What the end of one turn leaves pending, the next turn's start meets.
            const auto before = std::make_pair(pending, within_warp);
            const auto add_before = [&] {
                pending.add(before.first);
                within_warp.add(before.second);
            };
            place(loop->body);
            add_before();
            const Stmt body = place(loop->body);
            add_before();
            return For::make(loop->name, loop->min, loop->extent, loop->for_type, loop->partition_policy,
                             loop->device_api, body);
        }
        return guarded(s, accesses(s));
    }
};

/** One thread's part: loops over threads are their bodies. */
class StripThreads : public IRMutator {
    using IRMutator::visit;
    Expr visit(const Call *op) override {
        return is_note(op) ? Expr(0) : IRMutator::visit(op);
    }
    Stmt visit(const For *op) override {
        return op->for_type == ForType::GPUThread ? mutate(op->body) : IRMutator::visit(op);
    }
    Stmt visit(const Evaluate *op) override {
        const bool of_warp = is_barrier(op, false) && !is_barrier(op, true);
        return of_warp ? device::run("sync_warp") : IRMutator::visit(op);
    }
};

class ShiftShared : public IRMutator {
    using IRMutator::visit;
    const std::map<std::string, int64_t> &offsets;

    Expr shifted(const std::string &name, Type type, const Expr &index) {
        const auto found = offsets.find(name);
        if (found == offsets.end()) {
            return mutate(index);
        }
        strobe_internal_assert(found->second % type.bytes() == 0) << name << " is not aligned to its elements";
        const int bytes = type.element_of().bytes();
        const Expr by =
            Variable::make(Int(32), start_name) * (start_unit / bytes) + make_const(Int(32), found->second / bytes);
        const Expr moved = mutate(index);
        if (const Ramp *ramp = moved.as<Ramp>()) {  // must stay one, to be one access
            return Ramp::make(ramp->base + by, ramp->stride, ramp->lanes);
        }
        return moved + (moved.type().is_vector() ? Broadcast::make(by, moved.type().lanes()) : by);
    }
    Expr visit(const Call *op) override {
        if (!is_address(op)) {
            return IRMutator::visit(op);
        }
        const int offset = (int)offsets.at(array_of(op));
        return cast<uint32_t>(Variable::make(Int(32), start_name) * start_unit + (mutate(op->args[1]) + offset));
    }
    Expr visit(const Load *op) override {
        return Load::make(op->type, op->name, shifted(op->name, op->type, op->index), op->image, op->param,
                          mutate(op->predicate), op->alignment);
    }
    Stmt visit(const Store *op) override {
        const Expr value = mutate(op->value);
        return Store::make(op->name, value, shifted(op->name, value.type(), op->index), op->param,
                           mutate(op->predicate), op->alignment);
    }

public:
    explicit ShiftShared(const std::map<std::string, int64_t> &offsets) : offsets(offsets) {
    }
};

/** Registers of all threads side by side, loops over threads between barriers. */
class SerialThreads : public IRMutator {
    using IRMutator::visit;
    const int threads, warp_size = 32;
    const bool descending;
    std::map<std::string, int> registers;  // array -> elements a thread

    Stmt visit(const For *op) override {
        return op->for_type == ForType::GPUThread ? mutate(op->body) : IRMutator::visit(op);
    }
    Expr visit(const Call *op) override {
        return is_note(op) ? Expr(0) : IRMutator::visit(op);
    }
    Expr own(const std::string &name, const Expr &index) {
        const auto found = registers.find(name);
        return found == registers.end() ? mutate(index) : thread() * found->second + mutate(index);
    }
    Expr visit(const Load *op) override {
        return Load::make(op->type, op->name, own(op->name, op->index), op->image, op->param, mutate(op->predicate),
                          op->alignment);
    }
    Stmt visit(const Store *op) override {
        const Expr value = mutate(op->value);
        return Store::make(op->name, value, own(op->name, op->index), op->param, mutate(op->predicate), op->alignment);
    }

    Stmt turns(int count, const std::function<Stmt(const Expr &)> &body) {
        const std::string turn = unique_name("turn");
        const Expr t = Variable::make(Int(32), turn);
        return For::make(turn, 0, count, ForType::Serial, Partition::Never, DeviceAPI::None,
                         body(descending ? (count - 1) - t : t));
    }

    /** For all threads, or all of one warp. */
    Stmt loop(const Stmt &body, const Expr &warp) {
        const Stmt mutated = mutate(body);
        return turns(warp.defined() ? warp_size : threads, [&](const Expr &t) {
            return LetStmt::make(thread_name, warp.defined() ? warp * warp_size + t : t, mutated);
        });
    }

public:
    SerialThreads(int threads, bool descending) : threads(threads), descending(descending) {
    }

    /** \p warp: the one that runs from one of the block's barriers to the next; none outside of that. */
    Stmt convert(const Stmt &s, const Expr &warp = {}) {
        if (const Allocate *a = s.as<Allocate>()) {
            const bool own = a->memory_type == MemoryType::Register;
            std::vector<Expr> extents = a->extents;
            if (own) {
                registers[a->name] = a->constant_allocation_size();
                extents = {a->constant_allocation_size() * threads};
            }
            return Allocate::make(a->name, a->type, MemoryType::Heap, extents, a->condition, convert(a->body, warp));
        }
        if (is_barrier(s, false)) {
            return Evaluate::make(0);
        }
        if (!has_barrier(s, false)) {
            return loop(s, warp);
        }
        const bool of_block = !warp.defined();
        if (of_block && !has_barrier(s, true)) {
            return turns(threads / warp_size, [&](const Expr &number) {
                const std::string name = unique_name("warp");
                return LetStmt::make(name, number, convert(s, Variable::make(Int(32), name)));
            });
        }
        if (s.as<Block>()) {
            std::vector<Stmt> list, run, result;
            flatten(s, list);
            const auto finish_run = [&] {
                if (!run.empty()) {
                    result.push_back(convert(Block::make(run), warp));
                    run.clear();
                }
            };
            for (const Stmt &part : list) {
                if (has_barrier(part, of_block)) {
                    finish_run();
                    result.push_back(convert(part, warp));
                } else {
                    run.push_back(part);
                }
            }
            finish_run();
            return Block::make(result);
        }
        if (const LetStmt *let = s.as<LetStmt>()) {
            return LetStmt::make(let->name, let->value, convert(let->body, warp));
        }
        if (const IfThenElse *branch = s.as<IfThenElse>()) {
            return IfThenElse::make(branch->condition, convert(branch->then_case, warp),
                                    branch->else_case.defined() ? convert(branch->else_case, warp) : Stmt());
        }
        const For *uniform = s.as<For>();
        strobe_internal_assert(uniform && uniform->for_type == ForType::Serial) << "a barrier inside of\n" << s;
        return For::make(uniform->name, uniform->min, uniform->extent, uniform->for_type, uniform->partition_policy,
                         uniform->device_api, convert(uniform->body, warp));
    }
};

}  // namespace

Expr thread() {
    return Variable::make(Int(32), thread_name);
}

Stmt each_thread(int threads, const Stmt &body) {
    return For::make(thread_name, 0, threads, ForType::GPUThread, Partition::Never, DeviceAPI::None, body);
}

Expr shared_address(const std::string &array, const Expr &index, bool written) {
    return Call::make(UInt(32), written ? written_address : read_address, {StringImm::make(array), index},
                      Call::PureExtern);
}

Stmt begin_writes(const std::string &array) {
    return note(begun, array);
}

Stmt complete_writes(const std::string &array) {
    return note(completed, array);
}

Stmt use_within_warp(const std::string &array) {
    return note(within_warp, array);
}

Stmt barrier() {
    return barrier_with(block_fence);
}

Stmt place_barriers(const Stmt &block, const SharedArrays &arrays) {
    return PlaceBarriers(arrays).place(block);
}

Stmt shift_arrays(const Stmt &kernel, const std::map<std::string, int64_t> &offsets) {
    const Expr start = cast<int32_t>(device::call(UInt(32), "shared_base") / start_unit);
    return LetStmt::make(start_name, start, ShiftShared(offsets).mutate(kernel));
}

Stmt gpu_kernel(const Stmt &block, int threads) {
    const std::string name = "k" + gpu_thread_name(0);
    Stmt s = LetStmt::make(thread_name, Variable::make(Int(32), name), StripThreads().mutate(block));
    return For::make(name, 0, threads, ForType::GPUThread, Partition::Never, DeviceAPI::CUDA, s);
}

Stmt serial_block(const Stmt &block, int threads, bool descending) {
    return SerialThreads(threads, descending).convert(block);
}

}  // namespace strobe::simt
