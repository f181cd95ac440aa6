#include "Prepare.h"

#include "FeatureRows.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

const int threads = 128;

/** Collects a tile's outer indices; finds what keeps it from being computed beforehand. */
class FindOuter : public IRVisitor {
    using IRVisitor::visit;
    const TileProgram &program;
    PreparedTile &tile;

    bool is_grid(const Expr &e) const {
        return std::any_of(program.grid.begin(), program.grid.end(),
                           [&](const Axis &a) { return expr_uses_var(e, a.name); });
    }
    void visit(const Call *op) override {
        if (op->call_type != Call::Image) {
            IRVisitor::visit(op);
            return;
        }
        for (size_t d = 0; d < op->args.size(); d++) {
            const Expr &at = op->args[d];
            if (!is_grid(at)) {
                at.accept(this);
            } else if (expr_uses_var(at, tile.axis) || expr_uses_var(at, tile.feature)) {
                fits = false;
            } else if (std::none_of(tile.outer.begin(), tile.outer.end(),
                                    [&](const PreparedTile::Outer &o) { return equal(o.index, at); })) {
                tile.outer.push_back({at, op->param.name(), static_cast<int>(d)});
            }
        }
    }
    void visit(const Variable *op) override {
        const bool own = op->name == tile.axis || op->name == tile.feature;
        const bool computed =
            std::any_of(tile.ops.begin(), tile.ops.end(), [&](const TileOp &o) { return o.dst == op->name; });
        for (const std::string &axis : {program.query.name, program.stream.name}) {
            fits &= own || (op->name != axis && op->name != axis + ".lo" && op->name != axis + ".hi");
        }
        fits &= !is_grid(op) && (computed || !program.has_value(op->name));
    }

public:
    bool fits = true;
    FindOuter(const TileProgram &program, PreparedTile &tile) : program(program), tile(tile) {
    }
};

const TileOp *op_of(const std::vector<TileOp> &ops, const std::string &dst) {
    const auto found = std::find_if(ops.begin(), ops.end(), [&](const TileOp &op) { return op.dst == dst; });
    return found == ops.end() ? nullptr : &*found;
}

/** Adds what an op reads, before it; false if something of it is not computed from inputs alone. */
bool add_cone(const TileProgram &program, const StreamPass &pass, const TileOp &op, PreparedTile &tile) {
    for (const TileValue &v : program.values) {
        if (!op.expr.defined() || !expr_uses_var(op.expr, v.name) || op_of(tile.ops, v.name)) {
            continue;
        }
        const TileOp *source = op_of(pass.prologue, v.name);
        source = source ? source : op_of(pass.step, v.name);
        const bool known = source && (source->kind == TileOp::Kind::Load || source->kind == TileOp::Kind::Map ||
                                      (source->kind == TileOp::Kind::Reduce && source->axis == tile.feature));
        const bool inside = std::all_of(v.dims.begin(), v.dims.end(), [&](const TileDim &d) {
            return d.axis == tile.axis || (d.axis == tile.feature && (!source || source->kind != TileOp::Kind::Reduce));
        });
        if (!known || !inside || source->when != TileOp::When::Always || expr_uses_var(source->expr, v.name) ||
            !add_cone(program, pass, *source, tile)) {
            return false;
        }
    }
    tile.ops.push_back(op);
    return true;
}

std::optional<PreparedTile> prepared_tile(const TileProgram &program, const StreamPass &pass, const TileOp &op) {
    const TileValue &v = program.value(op.dst);
    const bool computed = op.kind == TileOp::Kind::Map && v.place == Place::Shared && v.dims.size() == 2;
    const bool narrow =
        v.type.is_float() && v.type.bits() == 16 && op.expr.as<Cast>() && op.expr.as<Cast>()->value.type() == Float(32);
    if (!computed || !narrow || op.when != TileOp::When::Always) {
        return std::nullopt;
    }
    PreparedTile tile;
    tile.name = op.dst;
    tile.axis = v.dims[0].axis;
    tile.feature = v.dims[1].axis;
    if (tile.axis != program.query.name && tile.axis != program.stream.name) {
        return std::nullopt;
    }
    if (!add_cone(program, pass, op, tile)) {
        return std::nullopt;
    }
    FindOuter finder(program, tile);
    for (const TileOp &o : tile.ops) {
        o.expr.accept(&finder);
    }
    return finder.fits ? std::optional<PreparedTile>(tile) : std::nullopt;
}

/** Drops loads and values that nothing reads any more. */
void drop_unused(StreamPass &pass) {
    const auto is_read = [&](const TileOp &op) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.epilogue}) {
            for (const TileOp &o : *ops) {
                if (o.a == op.dst || o.b == op.dst ||
                    (o.dst != op.dst && o.expr.defined() && expr_uses_var(o.expr, op.dst))) {
                    return true;
                }
            }
        }
        for (const Expr &e : {pass.mask.guard, pass.mask.dead, pass.mask.full}) {
            if (e.defined() && expr_uses_var(e, op.dst)) {
                return true;
            }
        }
        return false;
    };
    const auto has_state = [&](const TileOp &op) {
        return op.kind == TileOp::Kind::Contract || op.kind == TileOp::Kind::Fill || op_of(pass.prologue, op.dst);
    };
    for (bool dropped = true; dropped;) {
        dropped = false;
        for (auto *ops : {&pass.prologue, &pass.step}) {
            const bool first = ops == &pass.prologue;
            const auto unused = std::find_if(ops->begin(), ops->end(), [&](const TileOp &op) {
                return op.kind != TileOp::Kind::Fill && (first || !has_state(op)) && !is_read(op);
            });
            if (unused != ops->end()) {
                ops->erase(unused);
                dropped = true;
            }
        }
    }
}

bool mentions(const TileProgram &program, const std::string &value) {
    const auto reads = [&](const Expr &e) { return e.defined() && expr_uses_var(e, value); };
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                if (op.dst == value || op.a == value || op.b == value || reads(op.expr)) {
                    return true;
                }
            }
        }
        if (reads(pass.mask.guard) || reads(pass.mask.dead) || reads(pass.mask.full)) {
            return true;
        }
    }
    return false;
}

Expr extent_of(const PreparedTile &tile, const TileProgram &program, const PackageArguments &arguments,
               const KernelPackage &package, KernelParameters &parameters) {
    const CountTerm t = arguments.extent_of(program.axis(tile.axis), 1);
    return parameters.extent(package.buffers[t.buffer].name, t.dim);
}

int rows_of(const PreparedTile &tile, const TileProgram &program) {
    return tile.axis == program.query.name ? program.query_tile : program.stream_tile;
}

int panels_of(const PreparedTile &tile, const TileProgram &program) {
    return (program.value(tile.name).dims[1].size + 63) / 64;
}

/** How many values of the first outer dimension a block has: their rows share what depends on the position. */
int copies_of(const PreparedTile &tile, const TileProgram &program) {
    const int per_lane = RowLanes(program.value(tile.name).dims[1].size).per_lane;
    return tile.outer.empty() || per_lane > 2 ? 1 : 4 / per_lane;
}

/** The kernel: a block a tile of a few heads (of what the first outer dimension is), a few lanes a row. */
class Preparation {
    const PreparedTile &tile;
    const TileProgram &program;
    const PackageArguments &arguments;
    const KernelPackage &package;
    KernelParameters &parameters;
    Code code;
    Elements elements;
    const int rows, panels, copies;
    const bool overlaps;
    const RowLanes lanes;

    Expr copy_of(int n) const {
        return tile.outer.empty() ? Expr(0) : Code::get_int("outer", 0) + n;
    }
    std::set<std::string> inner() const {
        return tile.outer.empty() ? std::set<std::string>{position_name} : std::set<std::string>{outer_name(0)};
    }
    std::set<std::string> middle() const {
        return tile.outer.empty() ? std::set<std::string>{} : std::set<std::string>{position_name};
    }

    /** Registers "outer", "tile" and "to", the block's: the first of the outer indices is that of its first copy. */
    void decode() {
        const auto rest = [] { return Code::get_int("rest"); };
        const Expr tiles = Code::get_int("tiles");
        code.set("tile", rest() % tiles);
        code.set("rest", rest() / tiles);
        code.set("number", Expr(0));
        code.set("pitch", Expr(1));
        for (size_t n = 0; n < tile.outer.size(); n++) {
            const Expr size = parameters.extent(tile.outer[n].buffer, tile.outer[n].dim);
            const int step = n == 0 ? copies : 1;
            const Expr parts = (size + (step - 1)) / step, at = Code::get_int("outer", static_cast<int>(n));
            code.set("outer", static_cast<int>(n), rest() % parts * step);
            code.set("rest", rest() / parts);
            code.set("number", Code::get_int("number") + at * Code::get_int("pitch"));
            code.set("pitch", Code::get_int("pitch") * size);
        }
        code.set("number", Code::get_int("number") * tiles + Code::get_int("tile"));
        const Expr bytes = UIntImm::make(UInt(64), uint64_t(panels) * rows * 128);
        code.set("to", parameters.workspace(tile.workspace) + cast<uint64_t>(Code::get_int("number")) * bytes);
        code.set("next", bytes * cast<uint64_t>(tiles));
    }

    void bind() {
        for (int n = 0; n < copies; n++) {
            const Expr last = tile.outer.empty() ? Expr(0)
                                                 : parameters.extent(tile.outer[0].buffer, tile.outer[0].dim) - 1;
            elements.bindings[FeatureRows::name_in_row(outer_name(0), n)] = [=] { return min(copy_of(n), last); };
            elements.bindings[FeatureRows::name_in_row(position_name, n)] = [] { return Code::get_int("position"); };
            elements.bindings[FeatureRows::name_in_row("$inside", n)] = [] { return Code::get_int("inside"); };
        }
        elements.bindings[position_name] = [] { return Code::get_int("position"); };
        for (size_t n = 1; n < tile.outer.size(); n++) {
            elements.bindings[outer_name(n)] = [n] { return Code::get_int("outer", static_cast<int>(n)); };
        }
    }

    void store(const FeatureRows &made) {
        for (int n = 0; n < copies; n++) {
            Expr exists = Code::get_int("row") < rows;
            if (!tile.outer.empty()) {
                exists = exists && copy_of(n) < parameters.extent(tile.outer[0].buffer, tile.outer[0].dim);
            }
            for (int k = 0; k < lanes.per_lane; k++) {
                const Expr chunk = lanes.chunk(k), swizzled = (chunk % 8) ^ (Code::get_int("row") % 8);
                const Expr offset = Code::get_int("row") * 128 + chunk / 8 * (rows * 128) + swizzled * 16;
                const Expr to = device::get(UInt(64), "to", 0) +
                                device::get(UInt(64), "next", 0) * UIntImm::make(UInt(64), n) + cast<uint64_t>(offset);
                code.when(exists && chunk < panels * 8,
                          [&] { code.run("store_row", {made.packed(n, k), "0"}, {to}); });
            }
        }
    }

public:
    Preparation(const PreparedTile &tile, const TileProgram &program, const PackageArguments &arguments,
                const KernelPackage &package, KernelParameters &parameters, bool overlaps)
        : tile(tile), program(program), arguments(arguments), package(package), parameters(parameters),
          elements(program, parameters, code), rows(rows_of(tile, program)), panels(panels_of(tile, program)),
          copies(copies_of(tile, program)), overlaps(overlaps), lanes(program.value(tile.name).dims[1].size) {
    }

    Stmt build() {
        const Expr extent = extent_of(tile, program, arguments, package, parameters);
        code.run("grid_release");
        code.set("rest", Variable::make(Int(32), "k" + gpu_block_name(0)));
        code.set("tiles", (extent + (rows - 1)) / rows);
        decode();
        bind();
        const FeatureRows made(program, tile, parameters, elements, middle(), inner(), copies);
        code.emit(made.once());
        code.set("row", thread_index() / lanes.lanes);
        code.loop(
            "rows",
            [&] {
                code.set("position", Code::get_int("tile") * rows + Code::get_int("row"));
                code.set("inside", select(Code::get_int("position") < extent, 1, 0));
                code.set("position", min(Code::get_int("position"), extent - 1));
                code.emit(made.each());
                store(made);
                code.set("row", Code::get_int("row") + threads / lanes.lanes);
            },
            [&] { return Code::get_int("row") - thread_index() / lanes.lanes < rows; });
        if (overlaps) {
            code.run("grid_wait");  // who waits for this kernel waits for the ones before it, too
        }
        Stmt body = elements.with_kernel_values(code.finish());
        body = For::make("k" + gpu_thread_name(0), 0, threads, ForType::GPUThread, Partition::Never, DeviceAPI::CUDA,
                         body);
        return For::make("k" + gpu_block_name(0), 0, 1, ForType::GPUBlock, Partition::Never, DeviceAPI::CUDA, body);
    }
};

}  // namespace

const PreparedTile *PreparedProgram::find(const std::string &name) const {
    const auto found = std::find_if(tiles.begin(), tiles.end(), [&](const PreparedTile &t) { return t.name == name; });
    return found == tiles.end() ? nullptr : &*found;
}

PreparedProgram prepare_operands(const TileProgram &program) {
    PreparedProgram result{program, {}};
    if (program.passes.size() != 1) {
        return result;
    }
    StreamPass &pass = result.program.passes[0];
    for (auto *ops : {&pass.prologue, &pass.step}) {
        for (TileOp &op : *ops) {
            if (auto tile = prepared_tile(program, program.passes[0], op)) {
                result.tiles.push_back(*tile);
                const Type type = op.expr.type();
                op.kind = TileOp::Kind::Load;
                op.expr = Variable::make(type, op.dst);
            }
        }
    }
    if (!result.tiles.empty()) {
        drop_unused(pass);
        std::vector<TileValue> &values = result.program.values;
        values.erase(std::remove_if(values.begin(), values.end(),
                                    [&](const TileValue &v) { return !mentions(result.program, v.name); }),
                     values.end());
    }
    return result;
}

void leave_rows_to_blocks(PreparedProgram &prepared) {
    const TileProgram &program = prepared.program;
    for (PreparedTile &tile : prepared.tiles) {
        // An axis that no index names has the same rows at each of its points.
        tile.in_block = tile.axis == program.query.name &&
                        std::all_of(program.grid.begin(), program.grid.end(), [&](const Axis &axis) {
                            return std::any_of(tile.outer.begin(), tile.outer.end(), [&](const PreparedTile::Outer &o) {
                                const Variable *v = o.index.as<Variable>();
                                return v && v->name == axis.name;
                            });
                        });
    }
}

void add_preparation_kernels(PreparedProgram &prepared, const PackageArguments &arguments, KernelPackage &package,
                             LaunchPlan &plan, const std::string &entry,
                             std::vector<std::pair<Stmt, KernelParameters>> &bodies) {
    for (PreparedTile &tile : prepared.tiles) {
        if (tile.in_block) {
            continue;
        }
        WorkspaceSpec memory;
        const int rows = rows_of(tile, prepared.program);
        memory.element_bytes = panels_of(tile, prepared.program) * rows * 128;
        memory.elements = {arguments.extent_of(prepared.program.axis(tile.axis), rows)};
        for (const PreparedTile::Outer &o : tile.outer) {
            memory.elements.push_back({arguments.buffer(o.buffer), o.dim, 1});
        }
        tile.workspace = static_cast<int>(plan.workspaces.size());
        plan.workspaces.push_back(memory);
        KernelSpec kernel;
        kernel.entry = entry + "_prepare_" + std::to_string(plan.kernels.size());
        kernel.threads = threads;
        kernel.overlaps = !plan.kernels.empty();
        kernel.work = memory.elements;
        if (!tile.outer.empty()) {
            kernel.work[1].divisor = copies_of(tile, prepared.program);
        }
        plan.kernels.push_back(kernel);
        KernelParameters parameters(arguments, plan.kernels.back());
        const Stmt body = Preparation(tile, prepared.program, arguments, package, parameters, kernel.overlaps).build();
        bodies.emplace_back(body, parameters);
    }
}

Expr prepared_tile_number(const PreparedTile &prepared, const TileProgram &program, const PackageArguments &arguments,
                          const KernelPackage &package, KernelParameters &parameters, const Expr &tile,
                          const std::vector<Expr> &outer) {
    const int rows = rows_of(prepared, program);
    Expr number = 0;
    for (size_t n = outer.size(); n-- > 0;) {
        number = number * parameters.extent(prepared.outer[n].buffer, prepared.outer[n].dim) + outer[n];
    }
    const Expr extent = extent_of(prepared, program, arguments, package, parameters);
    return number * ((extent + (rows - 1)) / rows) + tile;
}

}  // namespace strobe::cuda
