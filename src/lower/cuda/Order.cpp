#include "Order.h"

#include "Judge.h"
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

int words_of(const StreamPass &pass, int groups) {
    return 1 + static_cast<int>(mask_parts(pass, groups).size());
}

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
    body = For::make("k" + gpu_thread_name(0), 0, 32 * judges_of(order, program), ForType::GPUThread, Partition::Never,
                     DeviceAPI::CUDA, body);
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
    kernel.threads = 32 * judges_of(order, program);
    kernel.shared_bytes = 8 * judges_of(order, program);
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
