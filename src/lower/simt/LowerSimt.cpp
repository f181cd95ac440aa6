#include "LowerSimt.h"

#include "AddChunks.h"
#include "Contract.h"
#include "Elementwise.h"
#include "LoadsAhead.h"
#include "RowProducts.h"
#include "SixteenBit.h"
#include "Summaries.h"
#include "Transfer.h"
#include "device/ExpandPtx.h"
#include "lower/BlockWalk.h"
#include "lower/SumArrays.h"
#include "lower/SummaryTables.h"
#include "lower/cuda/Code.h"
#include "lower/cuda/Parameters.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace simt {
namespace {

Expr var(const std::string &name) {
    return Variable::make(Int(32), name);
}

Stmt lower_op(const Context &context, const TileOp &op) {
    const bool across = is_across(context, op);
    switch (op.kind) {
    case TileOp::Kind::Load:
        return lower_load(context, op);
    case TileOp::Kind::Fill:
    case TileOp::Kind::Map:
        return across ? lower_map_across(context, op) : lower_map(context, op);
    case TileOp::Kind::Contract:
        return lower_contract(context, op);
    case TileOp::Kind::Reduce:
        return lower_reduce(context, op);
    case TileOp::Kind::Store:
        return across ? lower_store_across(context, op) : lower_store(context, op);
    case TileOp::Kind::Scan:
        return lower_scan(context, op);
    }
    strobe_internal_error() << "operation of an unknown kind on " << op.dst;
}

Stmt lower_ops(const Context &context, const std::vector<TileOp> &ops, const Expr &full,
               const LoadsAhead *ahead = nullptr) {
    std::vector<Stmt> stmts;
    std::vector<TileOp> loads;  // under way
    context.copied.clear();
    const auto finish = [&] {
        if (!loads.empty()) {
            stmts.push_back(finish_loads(context, loads));
            loads.clear();
        }
    };
    for (size_t n = 0; n < ops.size(); n++) {
        const TileOp &op = ops[n];
        if (op.kind == TileOp::Kind::Load) {
            if (ahead && ahead->has(op)) {
                continue;
            }
            loads.push_back(op);
        } else {
            finish();
        }
        if (ahead) {
            ahead->before_op(n, stmts);
        }
        const Stmt s = lower_op(context, op);
        stmts.push_back(op.when == TileOp::When::Partial ? IfThenElse::make(!full, s) : s);
        for (auto &[copy, value] : context.copied) {
            value = value == op.dst ? "" : value;
        }
        if (ahead) {
            ahead->after_op(n, stmts);
        }
    }
    finish();
    return stmts.empty() ? Evaluate::make(0) : Block::make(stmts);
}

/** A mask's bound or verdict, which is the same for the whole block. */
Expr verdict(const Context &context, const Expr &e) {
    return context.evaluate(e, {});
}

Stmt lower_walk(const Context &context, const StreamPass &pass, const Expr &part = 0) {
    const auto evaluate = [&](const Expr &e) { return verdict(context, e); };
    const bool skips = pass.mask.dead.defined() && !is_const_zero(pass.mask.dead) && !pass.mask.contiguous;
    const LoadsAhead ahead(context, pass, !skips);
    const auto step = [&](const Expr &tile) {
        const std::string full = unique_name("full");
        Stmt s = lower_ops(context, pass.step, Variable::make(Bool(), full), &ahead);
        s = LetStmt::make(full, pass.mask.full.defined() ? evaluate(pass.mask.full) : const_false(), s);
        if (skips) {
            s = IfThenElse::make(!evaluate(pass.mask.dead), s);
        }
        return with_tile_summaries(context, tile, s);
    };
    return walk_tiles(context.program, pass, evaluate, step, part, ahead.before_walk());
}

/** Where the states of all parts lie in global memory, one after another. */
std::string parts_of(const Context &context, const std::string &value) {
    return context.at(value).name + ".parts";
}

/** Elements of a block's state there. */
int64_t elements_of_part(const Context &context, const std::string &value) {
    const Stored &s = context.at(value);
    return s.registers ? s.elements * context.threads() : s.allocated();
}

/** \p save: the block's state becomes the unit'th there; else that one becomes the other part's state. */
Stmt copy_state(const Context &context, const StreamPass &pass, const Expr &unit, bool save) {
    const Type index = context.on_cpu ? Int(32) : Int(64);
    const int threads = context.threads();
    std::vector<Stmt> stmts;
    for (const std::string &name : pass.state) {
        const Stored &own = context.at(save ? name : other_part(name));
        strobe_internal_assert(own.registers == context.at(name).registers) << name << " and its parts differ in place";
        const std::string all = parts_of(context, name);
        const Expr start = cast(index, unit) * make_const(index, elements_of_part(context, name));
        const auto copy = [&](const Expr &element, const Expr &at) {
            return save ? store_at(all, load_at(own.name, own.type, element), start + cast(index, at))
                        : store_at(own.name, load_at(all, own.type, start + cast(index, at)), element);
        };
        if (own.registers) {
            for (int e = 0; e < (int)own.elements; e++) {
                stmts.push_back(copy(e, e * threads + thread()));
            }
        } else {
            const int elements = (int)own.allocated();
            stmts.push_back(serial_loop("element", (elements + threads - 1) / threads, [&](const Expr &turn) {
                const Expr number = turn * threads + thread();
                return IfThenElse::make(number < elements, copy(number, number));
            }));
        }
    }
    return each_thread(threads, Block::make(stmts));
}

class FindShared : public IRVisitor {
    using IRVisitor::visit;
    void visit(const Allocate *op) override {
        if (op->memory_type == MemoryType::GPUShared) {
            const int64_t bytes = int64_t(op->constant_allocation_size()) * op->type.bytes();
            offsets[op->name] = total;
            total += (bytes + 15) / 16 * 16;
        }
        IRVisitor::visit(op);
    }

public:
    std::map<std::string, int64_t> offsets;
    int64_t total = 0;
    explicit FindShared(const Stmt &s) {
        s.accept(this);
    }
};

Stmt finished(const Stmt &block, const std::set<std::string> &divided = {}) {
    SharedArrays arrays;
    arrays.divided = divided;
    for (const auto &entry : FindShared(block).offsets) {
        arrays.names.insert(entry.first);
    }
    return place_barriers(block, arrays);
}

/** A block's tiles around what it does. */
Stmt with_tiles(const Context &context, const std::vector<Stmt> &stmts) {
    Stmt s = with_query_summaries(context, Block::make(stmts));
    std::set<std::string> divided;
    const std::map<std::string, Stored> *lists[] = {&context.scratch, &context.values.stored};
    for (const auto *list : lists) {
        for (const auto &[value, stored] : *list) {
            if (stored.points > 1) {
                divided.insert(stored.name);
            }
        }
    }
    for (const auto &entry : context.scratch) {
        s = allocate_shared(entry.first, entry.second.type, entry.second.allocated(), s);
    }
    for (const auto &entry : context.values.stored) {
        const Stored &v = entry.second;
        if (v.part) {
            continue;
        }
        s = v.registers ? Allocate::make(v.name, v.type, MemoryType::Register, {make_const(Int(32), v.elements)},
                                         const_true(), s)
                        : allocate_shared(v.name, v.type, v.allocated(), s);
    }
    return finished(s, divided);
}

Stmt lower_prologue(const Context &context, const StreamPass &pass) {
    return before_walk(
        pass, [&](const Expr &e) { return verdict(context, e); },
        [&](const Expr &full) { return lower_ops(context, pass.prologue, full); });
}

/** What a block does. Where each of its points has its own tiles, registers are scarce, and the addresses of slower
 * copies take many: so it is there twice from beginning to end, with one kind of copy each. */
Stmt for_kinds_of_rows(const Context &context, const std::function<Stmt()> &make) {
    if (context.on_cpu || context.program.points.empty()) {
        return make();
    }
    context.wide_rows = Context::WideRows::All;
    const Stmt wide = make();
    context.wide_rows = Context::WideRows::Few;
    const Stmt other = make();
    context.wide_rows = Context::WideRows::Unknown;
    return IfThenElse::make(all_rows_are_wide(context), wide, other);
}

/** All passes of the block of rows at <query>.lo. */
Stmt row_block(const Context &context) {
    return with_tiles(context, {for_kinds_of_rows(context, [&] {
                          std::vector<Stmt> stmts;
                          for (const StreamPass &pass : context.program.passes) {
                              stmts.push_back(lower_prologue(context, pass));
                              stmts.push_back(lower_walk(context, pass));
                              stmts.push_back(lower_ops(context, pass.epilogue, const_false()));
                          }
                          return Block::make(stmts);
                      })});
}

/** One part of its walk, the unit'th of all. */
Stmt part_block(const Context &context, const Expr &unit) {
    const StreamPass &pass = context.program.passes[0];
    return with_tiles(context, {for_kinds_of_rows(context, [&] {
                          return Block::make({lower_ops(context, pass.prologue, const_false()),
                                              lower_walk(context, pass, unit % context.program.parts),
                                              copy_state(context, pass, unit, true)});
                      })});
}

/** What is left to do when the parts are done, the first of which is unit \p first. */
Stmt merge_block(const Context &context, const Expr &first) {
    const StreamPass &pass = context.program.passes[0];
    const Stmt merge = serial_loop("part", context.program.parts, [&](const Expr &part) {
        return Block::make(copy_state(context, pass, first + part, false), lower_ops(context, pass.merge, const_false()));
    });
    return with_tiles(context, {lower_ops(context, pass.prologue, const_false()), merge,
                                lower_ops(context, pass.epilogue, const_false())});
}

/** The algorithm's buffers and scalars become the kernel's arguments. */
class BindArguments : public IRMutator {
    using IRMutator::visit;
    const cuda::PackageArguments &arguments;
    cuda::KernelParameters &parameters;
    const std::map<std::string, int> &tables;  // array -> workspace

    std::string bound(const std::string &name, Type type) {
        const auto table = tables.find(name);
        if (table != tables.end()) {
            return parameters.workspace_array(table->second, type.element_of());
        }
        return arguments.is_buffer(name) ? parameters.array(name, type.element_of()) : name;
    }
    Expr visit(const Variable *op) override {
        const size_t end = op->name.rfind(".address");
        if (end != std::string::npos && arguments.is_buffer(op->name.substr(0, end))) {
            return parameters.pointer(op->name.substr(0, end));
        }
        if (const auto table = tables.find(op->name.substr(0, end)); end != std::string::npos && table != tables.end()) {
            return parameters.workspace(table->second);
        }
        return parameters.resolve(op);
    }
    Expr visit(const Load *op) override {
        return Load::make(op->type, bound(op->name, op->type), mutate(op->index), Buffer<>(), Parameter(),
                          mutate(op->predicate), op->alignment);
    }
    Stmt visit(const Store *op) override {
        const Expr value = mutate(op->value);
        return Store::make(bound(op->name, value.type()), value, mutate(op->index), Parameter(), mutate(op->predicate),
                           op->alignment);
    }

public:
    BindArguments(const cuda::PackageArguments &arguments, cuda::KernelParameters &parameters,
                  const std::map<std::string, int> &tables)
        : arguments(arguments), parameters(parameters), tables(tables) {
    }
};

std::string block_index() {
    return "k" + gpu_block_name(0);
}

/** Halide IR of kernels, to PTX. */
class PackageBuilder {
    KernelPackage package;
    const TileProgram &first;
    const cuda::PackageArguments arguments;
    const int shared_limit;
    // Of the plan that is being made.
    LaunchPlan plan;
    std::map<std::string, int> tables;
    std::unique_ptr<CodeGen_GPU_Dev> generator;
    device::PtxOptions options;

    static Target halide_target() {
        return Target("x86-64-linux-no_runtime-cuda-cuda_capability_80-no_asserts-no_bounds_query");
    }

    void add_kernel(const TileProgram &program, const std::string &entry, const Stmt &block, int threads,
                    const Count &work, int blocks = 1) {
        const FindShared shared(block);
        KernelSpec kernel;
        kernel.entry = entry;
        kernel.threads = threads;
        kernel.shared_bytes = (int)shared.total;
        kernel.work = work;
        if (shared.total > shared_limit) {
            strobe_user_error() << "In algorithm " << program.name << ": tiles of " << program.query_tile << " x "
                                << program.stream_tile << " take " << shared.total << " bytes of shared memory, and "
                                << package.architecture << " has " << shared_limit << "; legal here: smaller tiles";
        }
        cuda::KernelParameters parameters(arguments, kernel);
        Stmt body = BindArguments(arguments, parameters, tables).mutate(gpu_kernel(block, threads));
        body = lower_16_bit_floats(simplify(uniquify_variable_names(body)));
        body = shift_arrays(body, shared.offsets);
        body = For::make(block_index(), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
        strobe_debug(2) << "CUDA kernel " << kernel.entry << ":\n" << body << "\n";
        generator->add_kernel(body, entry, parameters.device_arguments());
        options.entries[entry] = {threads, {}, blocks};
        plan.kernels.push_back(kernel);
    }

    void add_summaries(const Context &context, const std::string &entry) {
        const TileProgram &program = context.program;
        for (const Summary &s : summaries_of(program)) {
            if (s.axis != program.stream.name) {
                continue;
            }
            WorkspaceSpec pairs;
            pairs.element_bytes = 2 * s.load.type().bytes();
            pairs.elements = {arguments.extent_of(program.stream, program.stream_tile)};
            for (const Axis &a : axes_of(s, program)) {
                pairs.elements.push_back(arguments.extent_of(a, 1));
            }
            tables[table_of(s)] = (int)plan.workspaces.size();
            plan.workspaces.push_back(pairs);
            const std::string name = unique_name("entry");
            const Stmt block = LetStmt::make(name, var(block_index()), finished(summary_block(context, s, name)));
            add_kernel(program, entry + "_summary_" + std::to_string(plan.kernels.size()), block, summary_threads,
                       pairs.elements);
        }
    }

    /** The kernel that walks parts; \p blocks of rows have program.parts each. */
    void add_parts(const Context &context, const std::string &entry, const Count &blocks) {
        const TileProgram &program = context.program;
        Count units = blocks;
        units.push_back({-1, 0, program.parts});
        for (const std::string &name : program.passes[0].state) {
            WorkspaceSpec states;
            states.element_bytes = context.at(name).type.bytes();
            states.elements = units;
            states.elements.push_back({-1, 0, (int32_t)elements_of_part(context, name)});
            tables[parts_of(context, name)] = (int)plan.workspaces.size();
            plan.workspaces.push_back(states);
        }
        strobe_user_assert(plan.workspaces.size() <= max_workspaces)
            << "In algorithm " << program.name << ": can't split(" << program.stream.name << "): a part's state is "
            << program.passes[0].state.size() << " arrays, and a package has " << max_workspaces << " at most.";
        const std::string unit = unique_name("unit"), task = unique_name("task");
        Stmt s = at_task(program, task, part_block(context, var(unit)));
        s = LetStmt::make(task, var(unit) / program.parts, s);
        plan.counted_kernel = (int)plan.kernels.size();
        add_kernel(program, entry + "_part", LetStmt::make(unit, var(block_index()), s), context.threads(), units);
    }

    /** Of \p p, which is \p program or computes its sums ahead. */
    Count blocks_of(const TileProgram &p, const TileProgram &program) const {
        Count work = {arguments.extent_of(p.query, p.query_tile)};
        for (const Axis &a : p.grid) {
            if (program.ahead && a.name == program.ahead->chunk.name) {
                work.push_back(arguments.extent_of(program.stream, program.ahead->size));
            } else {
                work.push_back(arguments.extent_of(a, p.points.count(a.name) ? p.points.at(a.name) : 1));
            }
        }
        return work;
    }

    int blocks_on_multiprocessor(const TileProgram &p) const {
        return two_blocks_fit(simt_footprint(p), capability_of(package.architecture)) ? 2 : 1;
    }

    /** The kernels of the sums ahead: those of the chunks, then for each array those up to each chunk. */
    void add_sums_ahead(const TileProgram &program, const std::string &entry) {
        const SumsAhead &ahead = *program.ahead;
        for (const Output &array : ahead.program.outputs) {
            WorkspaceSpec sums;
            sums.element_bytes = array.type.bytes();
            sums.elements = {{-1, 0, (int32_t)ahead.elements(array)}};
            for (const Axis &a : ahead.outer(array)) {
                sums.elements.push_back(a.name == ahead.chunk.name ? arguments.extent_of(program.stream, ahead.size)
                                                                   : arguments.extent_of(a, 1));
            }
            tables[array.name] = (int)plan.workspaces.size();
            plan.workspaces.push_back(sums);
        }
        strobe_user_assert(plan.workspaces.size() <= max_workspaces)
            << "In algorithm " << program.name << ": can't exchange: it takes " << plan.workspaces.size()
            << " arrays, and a package has " << max_workspaces << " at most.";
        const Context context(ahead.program, false);
        add_summaries(context, entry + "_ahead");
        const std::string task = unique_name("task");
        const Stmt rows = with_array_shapes(ahead, Int(64), at_task(ahead.program, task, row_block(context)));
        add_kernel(program, entry + "_ahead", LetStmt::make(task, var(block_index()), rows), context.threads(),
                   blocks_of(ahead.program, program), blocks_on_multiprocessor(ahead.program));
        for (const Output &array : ahead.program.outputs) {
            Count units = {{-1, 0, pieces_of(ahead, array)}};
            for (const Axis &a : ahead.outer(array)) {
                if (a.name != ahead.chunk.name) {
                    units.push_back(arguments.extent_of(a, 1));
                }
            }
            const std::string unit = unique_name("unit");
            add_kernel(program, entry + "_chunks_" + std::to_string(plan.kernels.size()),
                       LetStmt::make(unit, var(block_index()), chunk_block(ahead, array, unit)), sum_threads, units);
        }
    }

    void add_plan(const CudaCandidate &candidate, const std::string &entry) {
        const TileProgram &program = candidate.program;
        const Context context(program, false);
        plan = LaunchPlan();
        tables.clear();
        plan.schedule = candidate.schedule;
        plan.query_tile = program.query_tile;
        plan.cost_per_unit = candidate.cost_per_unit;
        plan.cost_per_step = candidate.cost_per_tile;
        if (candidate.cost_per_tile > 0) {
            plan.steps = {arguments.extent_of(program.stream, program.stream_tile * program.parts)};
        }
        if (program.ahead) {
            add_sums_ahead(program, entry);
        }
        add_summaries(context, entry);
        const Count work = blocks_of(program, program);
        const std::string task = unique_name("task");
        if (program.parts > 1) {
            add_parts(context, entry, work);
        }
        const Stmt rows = program.parts > 1 ? merge_block(context, var(task) * program.parts) : row_block(context);
        Stmt block = at_task(program, task, rows);
        if (program.ahead) {
            block = with_array_shapes(*program.ahead, Int(64), without_parameters(*program.ahead, block));
        }
        add_kernel(program, entry, LetStmt::make(task, var(block_index()), block), context.threads(), work,
                   blocks_on_multiprocessor(program));
        package.plans.push_back(plan);
    }

public:
    PackageBuilder(const std::vector<CudaCandidate> &candidates, const std::string &architecture, int shared_limit)
        : first(candidates[0].program), arguments(first, package), shared_limit(shared_limit),
          generator(new_CodeGen_PTX_Dev(halide_target())) {
        package.name = first.name;
        package.architecture = architecture;
        package.is_ptx = true;
        options.architecture = architecture;
        options.ptx_version = architecture.back() == 'a' ? "8.7" : "7.1";
        add_equal_extents(first, arguments, package);
        add_fixed_extents(first, arguments, package);
        generator->init_module();
        for (size_t n = 0; n < candidates.size(); n++) {
            const std::string number = n > 0 ? "_" + std::to_string(n) : "";
            add_plan(candidates[n], "strobe_" + cuda::plain(first.name) + "_general" + number);
        }
    }

    KernelPackage build() {
        const std::vector<char> source = generator->compile_to_src();
        strobe_debug(3) << source.data() << "\n";
        package.code = device::expand_ptx(source.data(), options);
        return package;
    }
};

}  // namespace
}  // namespace simt

SimtFootprint simt_footprint(const TileProgram &program) {
    const simt::Context context(program, false);
    const simt::FindShared shared(program.parts > 1 ? simt::part_block(context, 0) : simt::row_block(context));
    return {context.threads(), shared.total, context.values.register_words(), context.values.most_words()};
}

bool two_blocks_fit(const SimtFootprint &f, const Capability &machine) {
    const int other_shared = 1024;
    const int64_t share = machine.registers / (2 * f.threads) - f.other_registers;
    return 2 * (f.shared_bytes + other_shared) <= machine.shared_bytes && f.register_words <= share;
}

KernelPackage lower_simt(const std::vector<CudaCandidate> &candidates, const std::string &architecture,
                         int shared_limit) {
    return simt::PackageBuilder(candidates, architecture, shared_limit).build();
}

Stmt lower_simt_serially(const TileProgram &program, bool descending) {
    using namespace simt;
    const Context context(program, true);
    const auto task_loop = [](const Expr &count, const std::function<Stmt(const std::string &)> &make) {
        const std::string task = unique_name("task");
        return For::make(task, 0, count, ForType::Serial, Partition::Never, DeviceAPI::None, make(task));
    };
    const auto serial = [&](const Stmt &block) { return serial_block(block, context.threads(), descending); };
    Stmt s = task_loop(task_count(program), [&](const std::string &task) {
        const Stmt rows = program.parts > 1 ? merge_block(context, var(task) * program.parts) : row_block(context);
        return at_task(program, task, serial(rows));
    });
    if (program.parts > 1) {
        const Stmt parts = task_loop(task_count(program) * program.parts, [&](const std::string &unit) {
            const std::string task = unique_name("task");
            return LetStmt::make(task, var(unit) / program.parts,
                                 at_task(program, task, serial(part_block(context, var(unit)))));
        });
        s = Block::make(parts, s);
        for (const std::string &name : program.passes[0].state) {
            s = Allocate::make(parts_of(context, name), context.at(name).type, MemoryType::Heap,
                               {make_const(Int(32), elements_of_part(context, name)), task_count(program) * program.parts},
                               const_true(), s);
        }
    }
    if (program.ahead) {
        const SumsAhead &ahead = *program.ahead;
        std::vector<Stmt> stmts = {lower_simt_serially(ahead.program, descending)};
        for (const Output &array : ahead.program.outputs) {
            const Expr units = runs_of(ahead, array, Int(32)) * pieces_of(ahead, array);
            stmts.push_back(task_loop(units, [&](const std::string &unit) {
                return serial_block(chunk_block(ahead, array, unit), sum_threads, descending);
            }));
        }
        stmts.push_back(s);
        s = with_array_shapes(ahead, Int(32), without_parameters(ahead, Block::make(stmts)));
        for (const Output &array : ahead.program.outputs) {
            s = Allocate::make(array.name, array.type, MemoryType::Heap,
                               {ahead.elements(array), ahead.chunk.extent, runs_of(ahead, array, Int(32))}, const_true(), s);
        }
    }
    for (const Summary &summary : summaries_of(program)) {
        if (summary.axis == program.stream.name) {
            const Stmt fill = task_loop(table_size(summary, program), [&](const std::string &entry) {
                const Stmt block = finished(summary_block(context, summary, entry));
                return serial_block(block, summary_threads, descending);
            });
            s = Allocate::make(table_of(summary), summary.load.type(), MemoryType::Heap,
                               {table_size(summary, program) * 2}, const_true(), Block::make(fill, s));
        }
    }
    return s;
}

}  // namespace strobe
