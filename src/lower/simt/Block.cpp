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

bool is_address(const Call *op) {
    return op->name == read_address || op->name == written_address;
}

bool is_note(const Call *op) {
    return op->name == begun || op->name == completed;
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

bool is_barrier(const Stmt &s) {
    const Evaluate *e = s.as<Evaluate>();
    const Call *call = e ? e->value.as<Call>() : nullptr;
    return call && call->is_intrinsic(Call::gpu_thread_barrier);
}

class FindBarrier : public IRVisitor {
    using IRVisitor::visit;
    void visit(const Call *op) override {
        found |= op->is_intrinsic(Call::gpu_thread_barrier);
        IRVisitor::visit(op);
    }

public:
    bool found = false;
};

bool has_barrier(const Stmt &s) {
    FindBarrier finder;
    s.accept(&finder);
    return finder.found;
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

class FindAccesses : public IRVisitor {
    using IRVisitor::visit;
    const std::set<std::string> &shared;
    void visit(const Call *op) override {
        if (is_address(op) || is_note(op)) {
            std::set<std::string> &names = op->name == completed      ? found.completions
                                           : op->name == read_address ? found.reads
                                                                      : found.writes;
            names.insert(array_of(op));
        }
        IRVisitor::visit(op);
    }
    void visit(const Load *op) override {
        if (shared.count(op->name)) {
            found.reads.insert(op->name);
        }
        IRVisitor::visit(op);
    }
    void visit(const Store *op) override {
        if (shared.count(op->name)) {
            found.writes.insert(op->name);
        }
        IRVisitor::visit(op);
    }

public:
    Accesses found;
    explicit FindAccesses(const std::set<std::string> &shared) : shared(shared) {
    }
};

class PlaceBarriers {
    const std::set<std::string> &shared;
    Accesses pending;  // since the last barrier

    template<typename IR>
    Accesses accesses(const IR &code) const {
        FindAccesses finder(shared);
        code.accept(&finder);
        for (const std::string &name : finder.found.completions) {
            finder.found.writes.erase(name);
        }
        return finder.found;
    }

    /** \p s, behind a barrier if it needs one. */
    Stmt guarded(const Stmt &s, const Accesses &own) {
        const bool needed = pending.conflicts(own);
        if (needed) {
            pending = Accesses();
        }
        pending.add(own);
        return needed ? Block::make(barrier(), s) : s;
    }

public:
    explicit PlaceBarriers(const std::set<std::string> &shared) : shared(shared) {
    }

    Stmt place(const Stmt &s) {
        if (const Block *b = s.as<Block>()) {
            const Stmt first = place(b->first);
            return Block::make(first, place(b->rest));
        }
        if (const LetStmt *let = s.as<LetStmt>()) {
            const Accesses own = accesses(let->value);
            const bool needed = pending.conflicts(own);
            if (needed) {
                pending = Accesses();
            }
            pending.add(own);
            const Stmt result = LetStmt::make(let->name, let->value, place(let->body));
            return needed ? Block::make(barrier(), result) : result;
        }
        if (const Allocate *a = s.as<Allocate>()) {
            return Allocate::make(a->name, a->type, a->memory_type, a->extents, a->condition, place(a->body));
        }
        if (const IfThenElse *branch = s.as<IfThenElse>()) {
            const Accesses before = pending;
            const Stmt then_case = place(branch->then_case);
            Accesses after = pending;
            pending = before;
            const Stmt else_case = branch->else_case.defined() ? place(branch->else_case) : Stmt();
            pending.add(after);
            return IfThenElse::make(branch->condition, then_case, else_case);
        }
        if (const For *loop = s.as<For>(); loop && !is_thread_loop(s)) {
            // What the end of one turn leaves pending, the next turn's start meets.
            const Accesses before = pending;
            place(loop->body);
            pending.add(before);
            const Stmt body = place(loop->body);
            pending.add(before);
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
    const int threads;
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

    Stmt loop(const Stmt &body) {
        const std::string turn = unique_name("turn");
        const Expr t = Variable::make(Int(32), turn);
        const Stmt s = LetStmt::make(thread_name, descending ? (threads - 1) - t : t, mutate(body));
        return For::make(turn, 0, threads, ForType::Serial, Partition::Never, DeviceAPI::None, s);
    }

public:
    SerialThreads(int threads, bool descending) : threads(threads), descending(descending) {
    }

    Stmt convert(const Stmt &s) {
        if (const Allocate *a = s.as<Allocate>()) {
            const bool own = a->memory_type == MemoryType::Register;
            std::vector<Expr> extents = a->extents;
            if (own) {
                registers[a->name] = a->constant_allocation_size();
                extents = {a->constant_allocation_size() * threads};
            }
            return Allocate::make(a->name, a->type, MemoryType::Heap, extents, a->condition, convert(a->body));
        }
        if (is_barrier(s)) {
            return Evaluate::make(0);
        }
        if (!has_barrier(s)) {
            return loop(s);
        }
        if (s.as<Block>()) {
            std::vector<Stmt> list, run, result;
            flatten(s, list);
            const auto finish_run = [&] {
                if (!run.empty()) {
                    result.push_back(loop(Block::make(run)));
                    run.clear();
                }
            };
            for (const Stmt &part : list) {
                if (has_barrier(part)) {
                    finish_run();
                    result.push_back(convert(part));
                } else {
                    run.push_back(part);
                }
            }
            finish_run();
            return Block::make(result);
        }
        if (const LetStmt *let = s.as<LetStmt>()) {
            return LetStmt::make(let->name, let->value, convert(let->body));
        }
        if (const IfThenElse *branch = s.as<IfThenElse>()) {
            return IfThenElse::make(branch->condition, convert(branch->then_case),
                                    branch->else_case.defined() ? convert(branch->else_case) : Stmt());
        }
        const For *uniform = s.as<For>();
        strobe_internal_assert(uniform && uniform->for_type == ForType::Serial) << "a barrier inside of\n" << s;
        return For::make(uniform->name, uniform->min, uniform->extent, uniform->for_type, uniform->partition_policy,
                         uniform->device_api, convert(uniform->body));
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

Stmt barrier() {
    const Expr shared_memory = 2;  // the fence that Halide calls Shared
    return Evaluate::make(Call::make(Int(32), Call::gpu_thread_barrier, {shared_memory}, Call::Intrinsic));
}

Stmt place_barriers(const Stmt &block, const std::set<std::string> &shared) {
    return PlaceBarriers(shared).place(block);
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
