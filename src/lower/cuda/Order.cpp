#include "Order.h"

#include "Walk.h"
#include "lower/SummaryTables.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool depends_on(const MaskVerdict &mask, const TileProgram &program, const std::string &axis) {
    for (const Expr &e : {mask.dead, mask.begin, mask.end}) {
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

/** Register "live_tiles": of the rows in "query_lo", and of the batch's coordinates. */
void count_live_tiles(Code &code, Elements &elements, const TileProgram &program, const MaskVerdict &mask,
                      const BlockOrder &order, const PackageArguments &arguments, const KernelPackage &package,
                      KernelParameters &parameters) {
    for (const Summary &summary : mask.summaries) {
        const std::string least = plain(summary.name) + "_least", greatest = plain(summary.name) + "_greatest";
        if (summary.axis == program.query.name) {
            reduce_over_rows(code, elements, program, summary, program.query_tile, elements.last_row(), least, greatest);
        }
        bind_summary(elements, program, summary, least, greatest);
    }
    set_range(code, elements, program, mask, "tile_first", "tile_count");
    code.set("live_tiles", Expr(0));
    code.set("step", thread_index());
    code.when(Code::get_int("tile_count") > 0, [&] {
        code.loop(
            "count",
            [&] {
                // A lane without a tile looks at the last one.
                const Expr tile = min(Code::get_int("step"), Code::get_int("tile_count") - 1);
                code.set("tile", tile + Code::get_int("tile_first"));
                for (const Summary &summary : mask.summaries) {
                    if (summary.axis != program.query.name) {
                        const Type type = summary_type(program, summary);
                        const Expr at = summary_address(
                            program, summary, arguments, package, parameters,
                            parameters.workspace(order.summaries.at(summary.name)), Code::get_int("tile"),
                            [](const std::string &axis) { return Code::get_int("axis_" + plain(axis)); });
                        code.set(plain(summary.name) + "_least", device::call(type, "load_workspace", {}, {at}));
                        code.set(plain(summary.name) + "_greatest",
                                 device::call(type, "load_workspace", {}, {at + UIntImm::make(UInt(64), 4)}));
                    }
                }
                set_tile(code, elements, program, Code::get_int("tile"));
                code.set("dead", select(elements.row_value(mask.dead, 0), 1, 0));
                const Expr live = Code::get_int("dead") == 0 && Code::get_int("step") < Code::get_int("tile_count");
                code.set("live_tiles", Code::get_int("live_tiles") + select(live, 1, 0));
                code.set("step", Code::get_int("step") + 32);
            },
            [&] { return Code::get_int("step") - thread_index() < Code::get_int("tile_count"); });
    });
    for (int mask_bit = 16; mask_bit > 0; mask_bit /= 2) {
        const Expr live = Code::get_int("live_tiles");
        code.set("live_tiles", live + device::shuffle_xor(live, mask_bit));
    }
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
    const Expr last = extent_in(program.query, arguments, package, parameters) - 1;
    elements.last_row = [=] { return min(Code::get_int("query_lo") + (program.query_tile - 1), last); };
    code.run("grid_release");
    code.set("blocks", ceil_div(last + 1, program.query_tile));
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
    count_live_tiles(code, elements, program, pass.mask, order, arguments, package, parameters);
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
    body = For::make("k" + gpu_thread_name(0), 0, 32, ForType::GPUThread, Partition::Never, DeviceAPI::CUDA, body);
    return For::make("k" + gpu_block_name(0), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
}

}  // namespace

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
    plan.workspaces.push_back(counts);
    plan.workspaces.push_back(lists);
    KernelSpec kernel;
    kernel.entry = entry + "_order";
    kernel.threads = 32;
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

void clear_order(Code &code, const BlockOrder &order, KernelParameters &parameters) {
    for (int n = 0; n < cost_classes; n++) {
        code.run("store_global", {}, {parameters.workspace(order.counts) + UIntImm::make(UInt(64), 4 * n), u32(0)});
    }
}

}  // namespace strobe::cuda
