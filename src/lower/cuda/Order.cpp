#include "Order.h"

#include "MaskParts.h"
#include "Walk.h"
#include "lower/SummaryTables.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool depends_on(const MaskVerdict &mask, const TileProgram &program, const std::string &axis) {
    std::vector<Expr> verdicts = {mask.dead, mask.full, mask.begin, mask.end};
    for (const MaskPart &part : mask.parts) {
        verdicts.push_back(part.full);
    }
    for (const Expr &e : verdicts) {
        if (e.defined() && expr_uses_var(e, axis)) {
            return true;
        }
    }
    for (const Summary &summary : mask.summaries) {
        for (const Axis &a : axes_of(summary, program)) {
            if (a.name == axis) {
                return true;
            }
        }
    }
    return false;
}

bool has(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/** Warps of a block of the judging kernel: as many for each 64 rows. */
int judges_of(int groups) {
    return groups * ((8 + groups - 1) / groups);
}

int words_of(const StreamPass &pass, int groups) {
    return 1 + static_cast<int>(mask_parts(pass, groups).size());
}

/** Loads that are the same for all tiles of a row. */
class FindFixedLoads : public IRGraphVisitor {
    using IRGraphVisitor::visit;
    const TileProgram &program;
    const MaskVerdict &mask;

    bool is_fixed(const Expr &e) const {
        const std::string &stream = program.stream.name;
        return !expr_uses_var(e, stream + ".lo") && !expr_uses_var(e, stream + ".hi") &&
               std::none_of(mask.summaries.begin(), mask.summaries.end(), [&](const Summary &s) {
                   return expr_uses_var(e, s.name + ".min") || expr_uses_var(e, s.name + ".max");
               });
    }
    void visit(const Call *op) override {
        const bool known = std::any_of(found.begin(), found.end(), [&](const Expr &e) { return equal(e, op); });
        if (op->call_type != Call::Image || !is_fixed(op)) {
            IRGraphVisitor::visit(op);
        } else if (!known && found.size() < most) {
            found.push_back(op);
        }
    }

public:
    static const size_t most = 16;
    std::vector<Expr> found;
    FindFixedLoads(const TileProgram &program, const MaskVerdict &mask) : program(program), mask(mask) {
    }
};

/** Puts values in the place of equal Exprs. */
class ReplaceEqual : public IRMutator {
    using IRMutator::visit;
    const std::vector<Expr> &from;
    const std::vector<Expr> &to;

public:
    ReplaceEqual(const std::vector<Expr> &from, const std::vector<Expr> &to) : from(from), to(to) {
    }
    Expr mutate(const Expr &e) override {
        for (size_t n = 0; n < from.size(); n++) {
            if (equal(e, from[n])) {
                return to[n];
            }
        }
        return IRMutator::mutate(e);
    }
    using IRMutator::mutate;
};

/** Writes the code of the kernel that judges: a block of threads for an item, and each warp for some chunks of the
 * tiles that 64 of its rows meet. */
class Judge {
    const TileProgram &program;
    MaskVerdict mask;
    const BlockOrder &order;
    const PackageArguments &arguments;
    const KernelPackage &package;
    KernelParameters &parameters;
    Code &code;
    Elements &elements;
    std::vector<MaskPart> parts;
    const int groups, judges;
    Expr exact;  // the summaries are what they say

    static Expr lane() {
        return thread_index() % 32;
    }

    /** The least and greatest of what the verdicts read, over the rows or over the lane's tile. */
    void load_summaries(bool of_rows) {
        for (const Summary &summary : mask.summaries) {
            const std::string least = plain(summary.name) + "_least", greatest = plain(summary.name) + "_greatest";
            if ((summary.axis == program.query.name) != of_rows) {
                continue;
            }
            const Type type = summary_type(program, summary);
            if (of_rows) {
                reduce_over_rows(code, elements, program, summary, 64, elements.last_row(), least, greatest);
            } else {
                const Expr at = summary_address(
                    program, summary, arguments, package, parameters,
                    parameters.workspace(order.summaries.at(summary.name)), Code::get_int("tile"),
                    [](const std::string &axis) { return Code::get_int("axis_" + plain(axis)); });
                code.set(least, device::call(type, "load_workspace", {}, {at}));
                code.set(greatest, device::call(type, "load_workspace", {}, {at + UIntImm::make(UInt(64), 4)}));
            }
            bind_summary(elements, program, summary, least, greatest);
            exact = exact && is_exact(summary.load.type(), device::get(type, least, 0), device::get(type, greatest, 0));
        }
    }

    /** What the verdicts load that is the same for all tiles is loaded before them. Rows beyond the end have nothing. */
    void load_fixed() {
        FindFixedLoads find(program, mask);
        mask.dead.accept(&find);
        for (const MaskPart &part : parts) {
            part.full.accept(&find);
        }
        std::vector<Expr> values;
        for (const Expr &load : find.found) {
            const std::string name = "fixed_" + std::to_string(values.size());
            const Type type = load.type(), word = word_type(type);
            code.set(name, make_zero(word));
            code.when(Code::get_int("query_lo") <= elements.last_row(), [&] {
                const Expr value = elements.row_value(load, 0);
                code.set(name, type.is_float() ? value : type.is_bool() ? select(value, 1, 0) : cast(word, value));
            });
            elements.bindings["$" + name] = [=]() -> Expr {
                const Expr held = device::get(word, name, 0);
                return type.is_float() ? held : type.is_bool() ? held != 0 : cast(type, held);
            };
            values.push_back(Variable::make(type, "$" + name));
        }
        ReplaceEqual replace(find.found, values);
        mask.dead = replace.mutate(mask.dead);
        for (MaskPart &part : parts) {
            part.full = replace.mutate(part.full);
        }
    }

    /** Registers "word_0" to "word_<parts>": of the chunk's tiles for the rows at "query_lo". */
    void judge() {
        const Expr tile = Code::get_int("tile"), first = Code::get_int("own_first");
        code.set("inside", select(tile >= first && tile < first + Code::get_int("own_count") &&
                                      Code::get_int("query_lo") <= elements.last_row(),
                                  1, 0));
        for (size_t p = 0; p <= parts.size(); p++) {
            code.set("word_" + std::to_string(p), Expr(0));
        }
        code.when(device::ballot(Code::get_int("inside") != 0) != u32(0), [&] {
            // A lane without a tile looks at the last one.
            code.set("tile", min(tile, Code::get_int("tiles") - 1));
            load_summaries(false);
            set_tile(code, elements, program, Code::get_int("tile"));
            const auto vote = [&](size_t word, const Expr &condition) {
                code.set("word_" + std::to_string(word), cast<int32_t>(device::ballot(condition)));
            };
            code.set("exact", select(simplify(exact), 1, 0));
            const Expr known = is_const_one(simplify(exact)) ? const_true() : Code::get_int("exact") != 0;
            code.set("dead", select(known && elements.row_value(mask.dead, 0), 1, 0));
            vote(0, Code::get_int("inside") != 0 && Code::get_int("dead") == 0);
            for (size_t p = 0; p < parts.size(); p++) {
                code.set("full", select(known && elements.row_value(parts[p].full, 0), 1, 0));
                vote(p + 1, Code::get_int("full") != 0);
            }
        });
    }

    void store_words(const Expr &keys) {
        const Expr bit = (Code::get_int("word_0") >> u32(lane())) & 1;
        code.set("live_tiles", Code::get_int("live_tiles") + bit);
        code.when(Code::get_int("word_0") != 0, [&] {
            code.set("chunk_end", max(Code::get_int("chunk_end"), Code::get_int("chunk") + 1));
        });
        const int words = 1 + static_cast<int>(parts.size());
        code.when(lane() == 0, [&] {
            const Expr at =
                verdict_address(order, program, parameters, keys, Code::get_int("item"), Code::get_int("chunk"), words) +
                cast<uint64_t>(Code::get_int("group")) * UIntImm::make(UInt(64), 4 * words);
            for (int n = 0; n < words; n++) {
                code.run("store_global", {}, {at + UIntImm::make(UInt(64), 4 * n), Code::get_int("word_" + std::to_string(n))});
            }
        });
    }

public:
    Judge(const TileProgram &program, const StreamPass &pass, const BlockOrder &order, const PackageArguments &arguments,
          const KernelPackage &package, KernelParameters &parameters, Code &code, Elements &elements)
        : program(program), mask(pass.mask), order(order), arguments(arguments), package(package), parameters(parameters),
          code(code), elements(elements), parts(mask_parts(pass, program.query_tile / 64)), groups(program.query_tile / 64), judges(judges_of(groups)),
          exact(const_true()) {
    }

    /** Registers of thread 0: "live_tiles", of the rows at "query_lo" and of the batch's coordinates, and the chunks
     * that have some, "chunk_first" and "chunk_count"; the last of these has one. */
    void run() {
        const Expr keys = elements.row_value(program.stream.extent, 0);
        use_rows(program.query_tile);
        set_range(code, elements, program, mask, "tile_first", "tile_count");
        use_rows(64);
        code.set("block_lo", Code::get_int("query_lo"));
        code.set("tiles", ceil_div(keys, program.stream_tile));
        code.set("chunk_first", Code::get_int("tile_first") / chunk_tiles);
        code.set("chunk_count",
                 select(Code::get_int("tile_count") > 0,
                        ceil_div(Code::get_int("tile_first") + Code::get_int("tile_count"), chunk_tiles) -
                            Code::get_int("chunk_first"),
                        0));
        code.set("live_tiles", Expr(0));
        code.set("chunk_end", Code::get_int("chunk_first"));
        code.set("group", thread_index() / 32 % groups);
        code.set("query_lo", Code::get_int("block_lo") + Code::get_int("group") * 64);
        set_range(code, elements, program, mask, "own_first", "own_count");
        code.set("chunk", Code::get_int("chunk_first") + thread_index() / 32 / groups);
        const auto more = [&] {
            return Code::get_int("chunk") < Code::get_int("chunk_first") + Code::get_int("chunk_count");
        };
        code.when(more(), [&] {
            load_summaries(true);
            load_fixed();
            code.loop(
                "judge",
                [&] {
                    code.set("tile", Code::get_int("chunk") * chunk_tiles + lane());
                    judge();
                    store_words(keys);
                    code.set("chunk", Code::get_int("chunk") + judges / groups);
                },
                more);
        });
        add_up();
    }

private:
    /** Verdicts are on so many rows from "query_lo" on. */
    void use_rows(int count) {
        const Expr last = extent_in(program.query, arguments, package, parameters) - 1;
        elements.last_row = [=] { return min(Code::get_int("query_lo") + (count - 1), last); };
    }

    /** Of all threads, in the first: "live_tiles", and "chunk_count", up to the last chunk with a live tile. */
    void add_up() {
        const Expr live = Code::get_int("live_tiles"), end = Code::get_int("chunk_end");
        const Expr base = Variable::make(UInt(32), "shared_base");
        const auto found = [&](int warp, int word) {
            return device::call(Int(32), "load_shared", {}, {base + u32(8 * warp + 4 * word)});
        };
        for (int mask_bit = 16; mask_bit > 0; mask_bit /= 2) {
            code.set("live_tiles", live + device::shuffle_xor(live, mask_bit));
        }
        code.when(lane() == 0, [&] {
            code.run("store_shared", {}, {base + u32(thread_index() / 32 * 8), live});
            code.run("store_shared", {}, {base + u32(thread_index() / 32 * 8 + 4), end});
        });
        code.run("sync_threads");
        code.when(thread_index() == 0, [&] {
            for (int warp = 1; warp < judges; warp++) {
                code.set("live_tiles", live + found(warp, 0));
                code.set("chunk_end", max(end, found(warp, 1)));
            }
            code.set("chunk_count", end - Code::get_int("chunk_first"));
        });
    }
};

/** Classes half an octave wide, the dearest first: the greatest power of two below the
 * cost, and whether the cost is past the middle of the way to the next. */
Expr class_of(const Expr &cost) {
    const Expr c = max(cost, 1);
    const Expr octave = 31 - cast<int32_t>(count_leading_zeros(c));
    const Expr half = select(octave > 0, (c >> max(octave - 1, 0)) & 1, 0);
    return cost_classes - 1 - min(octave * 2 + half, cost_classes - 1);
}

Stmt order_body(const TileProgram &program, const StreamPass &pass, const BlockOrder &order,
                const PackageArguments &arguments, const KernelPackage &package, KernelParameters &parameters) {
    Code code;
    Elements elements(program, parameters, code);
    const Expr item = Variable::make(Int(32), "k" + gpu_block_name(0));
    code.run("grid_release");
    code.set("item", item);
    code.set("blocks", ceil_div(extent_in(program.query, arguments, package, parameters), program.query_tile));
    code.set("items", Code::get_int("blocks"));
    code.set("rest", div_u(item, Code::get_int("blocks")));
    code.set("query_lo", (item - Code::get_int("rest") * Code::get_int("blocks")) * program.query_tile);
    for (const Axis &a : program.grid) {
        code.set("axis_" + plain(a.name), Expr(0));
        if (has(order.axes, a.name)) {
            const Expr extent = extent_in(a, arguments, package, parameters);
            code.set("quotient", div_u(Code::get_int("rest"), extent));
            code.set("axis_" + plain(a.name), Code::get_int("rest") - Code::get_int("quotient") * extent);
            code.set("rest", Code::get_int("quotient"));
            code.set("items", Code::get_int("items") * extent);
        }
    }
    // An axis without points leaves the main kernel no work, and nobody to clear the counts.
    Expr copies = 1;
    for (const Axis &a : program.grid) {
        copies *= has(order.axes, a.name) ? 1 : extent_in(a, arguments, package, parameters);
    }
    code.run("grid_wait");  // for the summaries
    Judge(program, pass, order, arguments, package, parameters, code, elements).run();
    code.when(thread_index() == 0, [&] {
        const Expr at = parameters.workspace(order.chunks) + cast<uint64_t>(item) * UIntImm::make(UInt(64), 8);
        code.run("store_global", {}, {at, Code::get_int("chunk_first")});
        code.run("store_global", {}, {at + UIntImm::make(UInt(64), 4), Code::get_int("chunk_count")});
    });
    code.when(thread_index() == 0 && simplify(copies) > 0, [&] {
        code.set("class", class_of(Code::get_int("live_tiles")));
        const Expr number = cast<uint64_t>(Code::get_int("class"));
        const Expr four = UIntImm::make(UInt(64), 4);
        code.set("place", cast<int32_t>(device::call(UInt(32), "atomic_add", {},
                                                     {parameters.workspace(order.counts) + number * four, u32(1)})));
        const Expr slot = number * cast<uint64_t>(Code::get_int("items")) + cast<uint64_t>(Code::get_int("place"));
        code.run("store_global", {}, {parameters.workspace(order.items) + slot * four, item});
    });
    Stmt body = elements.with_kernel_values(code.finish());
    body = LetStmt::make("shared_base", device::call(UInt(32), "shared_base"), body);
    body = For::make("k" + gpu_thread_name(0), 0, 32 * judges_of(program.query_tile / 64), ForType::GPUThread, Partition::Never, DeviceAPI::CUDA, body);
    return For::make("k" + gpu_block_name(0), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
}

}  // namespace

Expr stream_chunks(const TileProgram &program, const Expr &keys) {
    return ceil_div(keys, program.stream_tile * chunk_tiles);
}

Expr verdict_address(const BlockOrder &order, const TileProgram &program, KernelParameters &parameters, const Expr &keys,
                     const Expr &item, const Expr &chunk, int words) {
    const Expr number = cast<uint64_t>(item) * cast<uint64_t>(stream_chunks(program, keys)) + cast<uint64_t>(chunk);
    return parameters.workspace(order.verdicts) + number * UIntImm::make(UInt(64), 4 * words * (program.query_tile / 64));
}

BlockOrder add_order_kernel(const TileProgram &program, const StreamPass &pass, const PackageArguments &arguments,
                            KernelPackage &package, LaunchPlan &plan, const std::string &entry,
                            const std::map<std::string, int> &summaries,
                            std::vector<std::pair<Stmt, KernelParameters>> &bodies) {
    BlockOrder order;
    order.summaries = summaries;
    Count items = {arguments.extent_of(program.query, program.query_tile)};
    for (const Axis &a : program.grid) {
        if (depends_on(pass.mask, program, a.name)) {
            order.axes.push_back(a.name);
            items.push_back(arguments.extent_of(a, 1));
        }
    }
    const CountTerm classes = {-1, 0, cost_classes};
    WorkspaceSpec counts, lists;
    counts.elements = {classes};
    counts.zeroed = true;
    lists.elements = items;
    lists.elements.push_back(classes);
    order.counts = static_cast<int>(plan.workspaces.size());
    order.items = order.counts + 1;
    order.chunks = order.counts + 2;
    order.verdicts = order.counts + 3;
    WorkspaceSpec chunks, verdicts;
    chunks.elements = items;
    chunks.element_bytes = 8;
    verdicts.elements = items;
    verdicts.elements.push_back(arguments.extent_of(program.stream, program.stream_tile * chunk_tiles));
    verdicts.element_bytes = 4 * words_of(pass, program.query_tile / 64) * (program.query_tile / 64);
    for (const WorkspaceSpec &spec : {counts, lists, chunks, verdicts}) {
        plan.workspaces.push_back(spec);
    }
    KernelSpec kernel;
    kernel.entry = entry + "_order";
    kernel.threads = 32 * judges_of(program.query_tile / 64);
    kernel.shared_bytes = 8 * judges_of(program.query_tile / 64);
    kernel.work = items;
    kernel.overlaps = true;
    plan.kernels.push_back(kernel);
    KernelParameters parameters(arguments, plan.kernels.back());
    const Stmt body = order_body(program, pass, order, arguments, package, parameters);
    bodies.emplace_back(body, parameters);
    return order;
}

void load_order(Code &code, const BlockOrder &order, KernelParameters &parameters) {
    const Expr lane = thread_index() % 32;
    const Expr at = parameters.workspace(order.counts) + cast<uint64_t>(lane) * UIntImm::make(UInt(64), 4);
    code.set("class_items", device::call(Int(32), "load_workspace", {}, {at}));
    code.set("class_end", Code::get_int("class_items"));  // items of this class and the ones before it
    for (int d = 1; d < 32; d *= 2) {
        code.set("before", device::shuffle_from(Code::get_int("class_end"), max(lane - d, 0)));
        code.set("class_end", Code::get_int("class_end") + select(lane >= d, Code::get_int("before"), 0));
    }
}

void order_ticket(Code &code, const TileProgram &program, const BlockOrder &order, const PackageArguments &arguments,
                  const KernelPackage &package, KernelParameters &parameters) {
    const auto extent = [&](const Axis &a) { return extent_in(a, arguments, package, parameters); };
    Expr copies = 1, items = Code::get_int("blocks");
    code.set("blocks", ceil_div(extent(program.query), program.query_tile));
    for (const Axis &a : program.grid) {
        (has(order.axes, a.name) ? items : copies) *= extent(a);
    }
    code.set("copies", copies);
    code.set("items", items);
    const Expr turn = Code::get_int("turn");
    const Expr later = device::ballot(Code::get_int("class_end") * Code::get_int("copies") > turn);
    code.set("class", device::call(Int(32), "first_bit", {}, {cast<int32_t>(later)}));
    const Expr number = Code::get_int("class");
    code.set("count", device::shuffle_from(Code::get_int("class_items"), number));
    code.set("first", device::shuffle_from(Code::get_int("class_end"), number) - Code::get_int("count"));
    code.set("rest", turn - Code::get_int("first") * Code::get_int("copies"));
    code.set("copy", div_u(Code::get_int("rest"), Code::get_int("count")));
    const Expr place = Code::get_int("rest") - Code::get_int("copy") * Code::get_int("count");
    const Expr slot = cast<uint64_t>(number) * cast<uint64_t>(Code::get_int("items")) + cast<uint64_t>(place);
    code.set("item", device::call(Int(32), "load_workspace", {},
                                  {parameters.workspace(order.items) + slot * UIntImm::make(UInt(64), 4)}));
    // From the item and the copy to the coordinates, and from these to the number of the block.
    code.set("rest", div_u(Code::get_int("item"), Code::get_int("blocks")));
    code.set("work", Code::get_int("item") - Code::get_int("rest") * Code::get_int("blocks"));
    code.set("pitch", Code::get_int("blocks"));
    for (const Axis &a : program.grid) {
        const std::string from = has(order.axes, a.name) ? "rest" : "copy";
        code.set("quotient", div_u(Code::get_int(from), extent(a)));
        const Expr at = Code::get_int(from) - Code::get_int("quotient") * extent(a);
        code.set("work", Code::get_int("work") + at * Code::get_int("pitch"));
        code.set("pitch", Code::get_int("pitch") * extent(a));
        code.set(from, Code::get_int("quotient"));
    }
}

void load_chunks(Code &code, const BlockOrder &order, KernelParameters &parameters) {
    const Expr at =
        parameters.workspace(order.chunks) + cast<uint64_t>(Code::get_int("item")) * UIntImm::make(UInt(64), 8);
    code.set("chunk_first", device::call(Int(32), "load_workspace", {}, {at}));
    code.set("chunk_count", device::call(Int(32), "load_workspace", {}, {at + UIntImm::make(UInt(64), 4)}));
}

void clear_order(Code &code, const BlockOrder &order, KernelParameters &parameters) {
    for (int n = 0; n < cost_classes; n++) {
        code.run("store_global", {}, {parameters.workspace(order.counts) + UIntImm::make(UInt(64), 4 * n), u32(0)});
    }
}

}  // namespace strobe::cuda
