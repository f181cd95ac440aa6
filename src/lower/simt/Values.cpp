#include "Values.h"

#include "Block.h"
#include "support/Error.h"
#include "tile/SharePoints.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

int ceil_div(int a, int b) {
    return (a + b - 1) / b;
}

template<typename F>
void for_each_op(const TileProgram &program, F action) {
    for (const StreamPass &pass : program.passes) {
        for (const auto *ops : {&pass.prologue, &pass.step, &pass.merge, &pass.epilogue}) {
            for (const TileOp &op : *ops) {
                action(op);
            }
        }
    }
}

/** The most even deal of \p size elements to \p lanes, in runs of up to 4. */
AxisSlots deal(int size, int lanes, bool runs) {
    AxisSlots best;
    for (int width : {1, 2, 4}) {
        const int slots = ceil_div(size, lanes * width) * width;
        if (width == 1 || (runs && slots <= best.slots)) {
            best = {size, slots, width, slots * lanes};
        }
    }
    return best;
}

/** Axes along which the second operand of a contraction is contiguous, but not
 * contracted: its reader takes neighbouring elements. */
std::set<std::string> axes_read_in_runs(const TileProgram &program) {
    std::set<std::string> axes;
    for_each_op(program, [&](const TileOp &op) {
        if (op.kind == TileOp::Kind::Contract) {
            const std::string &inner = program.value(op.b).dims.back().axis;
            if (inner != op.axis) {
                axes.insert(inner);
            }
        }
    });
    return axes;
}

/** Some contraction that the matrix unit can do: 16-bit operands, float32 sums of rows. */
bool uses_matrix_unit(const TileProgram &program) {
    bool found = false;
    for_each_op(program, [&](const TileOp &op) {
        if (op.kind == TileOp::Kind::Contract && op.operand_type.bits() == 16) {
            const TileValue &dst = program.value(op.dst);
            found |= dst.type == Float(32) && dst.dims[0].axis == program.query.name;
        }
    });
    return found;
}

/** Columns of the matrix unit: eight together, of which a lane has two; 16 are a step
 * of the contracted axis, and what one instruction loads of an operand. */
AxisSlots deal_to_matrix(int size, int parts, bool is_operand) {
    const int unit = (is_operand ? 16 : 8) * parts, padded = ceil_div(size, unit) * unit;
    return {size, padded / (4 * parts), 2, padded};
}

/** Axes that operands of the matrix unit have. */
std::set<std::string> axes_of_operands(const TileProgram &program) {
    std::set<std::string> axes = {program.stream.name};
    for_each_op(program, [&](const TileOp &op) {
        if (op.kind == TileOp::Kind::Contract && op.operand_type.bits() == 16) {
            for (const std::string &operand : {op.a, op.b}) {
                for (const TileDim &d : program.value(operand).dims) {
                    axes.insert(d.axis);
                }
            }
        }
    });
    return axes;
}

/** Warps that have rows of their own: eight are a block of 256 threads. */
int row_warps(const TileProgram &program) {
    return std::min(8, ceil_div(program.query_tile, 16));
}

/** \p parts: warps that share rows on the matrix unit; 0 without it. */
ThreadMap map_threads(const TileProgram &program, int parts) {
    ThreadMap map;
    map.matrix = parts > 0;
    for (const auto &[axis, points] : program.points) {
        map.point_axis = axis;
        map.points = points;
    }
    if (map.matrix) {
        const int warps = row_warps(program);
        map.parts = parts;
        map.threads = 32 * warps * parts;
        map.lanes = 4;
        map.row_slots = 2 * ceil_div(program.query_tile, 16 * warps);
    } else {
        map.threads = map.points > 1 ? 32 : 256;
        map.lanes = map.points > 1 ? 8 : 16;
        map.row_slots = ceil_div(program.query_tile, map.threads / map.lanes);
    }
    map.groups = map.threads / (map.lanes * map.parts);
    const std::set<std::string> runs = axes_read_in_runs(program), operands = axes_of_operands(program);
    const auto add = [&](const std::string &axis, int size) {
        if (axis != program.query.name) {
            map.axes[axis] = map.matrix ? deal_to_matrix(size, map.parts, operands.count(axis) > 0)
                                        : deal(size, map.lanes, runs.count(axis) > 0);
        }
    };
    add(program.stream.name, program.stream_tile);
    for (const auto &[axis, size] : program.column_sizes) {
        add(axis, size);
    }
    for (const TileValue &v : program.values) {
        for (const TileDim &d : v.dims) {
            add(d.axis, d.size);
        }
    }
    return map;
}

/** Whether all that is done with the values in registers can be done there. */
class ChooseRegisters {
    const TileProgram &program;
    const std::set<std::string> across;
    std::set<std::string> chosen;
    bool changed = false;

    bool row_mapped(const std::vector<TileDim> &dims) const {
        return !dims.empty() && dims.size() <= 2 && dims[0].axis == program.query.name;
    }
    void release(const std::string &name) {
        changed |= chosen.erase(name) > 0;
    }
    /** The values in \p e that have other axes than these cannot stay in registers. */
    void keep_only(const Expr &e, const std::vector<std::string> &slots) {
        const std::set<std::string> all = chosen;
        for (const std::string &name : all) {
            const std::vector<TileDim> &dims = program.value(name).dims;
            const bool own = std::all_of(dims.begin(), dims.end(), [&](const TileDim &d) {
                return std::find(slots.begin(), slots.end(), d.axis) != slots.end();
            });
            if (!own && expr_uses_var(e, name)) {
                release(name);
            }
        }
    }
    std::vector<std::string> slots_of(const std::vector<TileDim> &dims) const {
        std::vector<std::string> axes;
        for (const TileDim &d : dims) {
            axes.push_back(d.axis);
        }
        return axes;
    }
    void visit(const TileOp &op) {
        const bool crosses = std::any_of(across.begin(), across.end(), [&](const std::string &v) {
            return op.dst == v || (op.expr.defined() && expr_uses_var(op.expr, v));
        });
        if (crosses && op.kind != TileOp::Kind::Contract) {
            return keep_only(op.expr, {program.query.name});  // rows are handed over
        }
        if (op.kind == TileOp::Kind::Store) {
            return keep_only(op.expr, own_axes_of_store(program, op));
        }
        const std::vector<TileDim> &dims = program.value(op.dst).dims;
        const bool registers = chosen.count(op.dst) > 0;
        switch (op.kind) {
        case TileOp::Kind::Load:
            return release(op.dst);
        case TileOp::Kind::Contract:
            release(op.b);
            if (crosses) {
                return;
            }
            if (!registers || program.value(op.a).dims[0].axis != program.query.name) {
                release(op.a);
            }
            return;
        case TileOp::Kind::Reduce: {
            std::vector<std::string> slots = registers ? slots_of(dims) : std::vector<std::string>();
            if (slots.size() == 1) {
                slots.push_back(op.axis);
            }
            return keep_only(op.expr, slots);
        }
        case TileOp::Kind::Scan:
            release(op.dst);
            return keep_only(op.expr, row_mapped(dims) ? slots_of(dims) : std::vector<std::string>());
        default:
            return keep_only(op.expr, registers ? slots_of(dims) : std::vector<std::string>());
        }
    }

public:
    explicit ChooseRegisters(const TileProgram &program) : program(program), across(values_across_points(program)) {
    }

    std::set<std::string> choose() {
        for (const TileValue &v : program.values) {
            if (row_mapped(v.dims) && v.place != Place::Shared && !across.count(v.name)) {
                chosen.insert(v.name);
            }
        }
        do {
            changed = false;
            for_each_op(program, [&](const TileOp &op) { visit(op); });
            for (const StreamPass &pass : program.passes) {
                for (const std::string &name : pass.state) {
                    if (across.count(name)) {
                        continue;
                    }
                    if (!chosen.count(name) || !chosen.count(other_part(name))) {
                        release(name);
                        release(other_part(name));
                    }
                }
            }
        } while (changed);
        return chosen;
    }
};

bool is_loaded(const TileProgram &program, const std::string &value) {
    bool found = false;
    for_each_op(program, [&](const TileOp &op) { found |= op.kind == TileOp::Kind::Load && op.dst == value; });
    return found;
}

Type storage_type(Type t) {
    return t.is_bool() ? UInt(8) : t.is_float() && t.bits() < 32 ? Float(32) : t;
}

}  // namespace

Expr ThreadMap::point() const {
    return points == 1 ? Expr(0) : thread() / threads;
}

Expr ThreadMap::own_thread() const {
    return points == 1 ? thread() : thread() % threads;
}

Expr ThreadMap::lane() const {
    return thread() % lanes;
}

Expr ThreadMap::part() const {
    return parts == 1 ? Expr(0) : thread() / 32 % parts;
}

Expr ThreadMap::is_first() const {
    return parts == 1 ? lane() == 0 : lane() == 0 && part() == 0;
}

Expr ThreadMap::row(int slot) const {
    if (matrix) {
        return own_thread() / (32 * parts) * 16 + thread() % 32 / 4 + (slot / 2 * (2 * groups) + slot % 2 * 8);
    }
    return own_thread() / lanes + slot * groups;
}

Expr ThreadMap::column(const std::string &axis, int slot) const {
    const AxisSlots &a = axes.at(axis);
    return part() * (a.padded / parts) + lane() * a.width + (slot / a.width * lanes * a.width + slot % a.width);
}

int ThreadMap::row_slots_across(int rows) const {
    return ceil_div(rows, all_threads() / 32);
}

int ThreadMap::point_slots() const {
    return 2 * ceil_div(points, 16);
}

int ThreadMap::column_slots_across(const std::string &axis) const {
    return ceil_div(axes.at(axis).size, 16) * 4;
}

Expr ThreadMap::row_across(int slot) const {
    return thread() / 32 + slot * (all_threads() / 32);
}

Expr ThreadMap::point_across(int slot) const {
    return thread() % 32 / 4 + 8 * slot;
}

Expr ThreadMap::column_across(int slot) const {
    return thread() % 4 * 2 + (slot / 2 * 8 + slot % 2);
}

int Stored::dimension(const std::string &axis) const {
    for (size_t d = 0; d < dims.size(); d++) {
        if (dims[d].axis == axis) {
            return (int)d;
        }
    }
    return -1;
}

bool is_grid_axis(const TileProgram &program, const std::string &name) {
    return std::any_of(program.grid.begin(), program.grid.end(), [&](const Axis &a) { return a.name == name; });
}

/** Elements along further axes of an output that one thread stores. */
const int few_elements = 16;

std::vector<std::string> own_axes_of_store(const TileProgram &program, const TileOp &op) {
    std::vector<std::string> axes;
    for (const std::string &a : op.out_axes) {
        if (!is_grid_axis(program, a) && a != program.query.name) {
            axes.push_back(a);
        }
    }
    const bool rows = std::find(op.out_axes.begin(), op.out_axes.end(), program.query.name) != op.out_axes.end();
    if (!rows) {
        return {};
    }
    if (axes.size() > 1) {
        // The axis that tile values have; each thread goes along the others if they are short.
        std::set<std::string> columns;
        int others = 1;
        for (const std::string &a : axes) {
            for (const TileValue &v : program.values) {
                if (v.dims.size() == 2 && v.dims[1].axis == a && expr_uses_var(op.expr, v.name)) {
                    columns.insert(a);
                }
            }
            others *= columns.count(a) ? 1 : program.column_sizes.at(a);
        }
        if (columns.size() != 1 || others > few_elements) {
            return {};
        }
        axes.assign(columns.begin(), columns.end());
    }
    axes.insert(axes.begin(), program.query.name);
    return axes;
}

Stored shared_array(const std::string &name, Type type, const std::vector<TileDim> &dims, const TileProgram &program,
                    const ThreadMap &map, bool of_points) {
    Stored s;
    s.name = name;
    s.type = map.matrix && !type.is_bool() ? type : storage_type(type);  // the matrix unit reads 16-bit operands
    s.rounded_to = type;
    s.dims = dims;
    for (const TileDim &d : dims) {
        // Rows beyond the tile are nobody's where each row has a matrix.
        const int rows = dims.size() > 2 ? program.query_tile : map.groups * map.row_slots;
        s.sizes.push_back(d.axis == program.query.name ? rows : map.axes.at(d.axis).padded);
    }
    const bool each = of_points && map.points > 1;
    s.strides.resize(dims.size());
    for (size_t d = dims.size(); d-- > 0;) {
        s.strides[d] = (int)s.elements;
        // Rows an odd multiple of 16 bytes apart: eight lanes that read as much of a row each meet no bank twice.
        // Where each point has its own, memory is scarce: short ones meet it twice at most.
        const bool rows = d + 1 == dims.size() && dims.size() > 1 && (!each || s.sizes[d] * s.type.bytes() >= 64);
        s.elements *= rows ? s.sizes[d] + 16 / s.type.bytes() : s.sizes[d];
    }
    s.points = each ? map.points : 1;
    if (each && dims.size() > 1) {
        // So are the points, whose rows are one matrix' rows.
        const int64_t pieces = (s.elements * s.type.bytes() + 15) / 16;
        s.elements = (pieces % 2 == 0 ? pieces + 1 : pieces) * 16 / s.type.bytes();
    }
    return s;
}

namespace {

void place_bundle(Values &values, const Bundle &b) {
    for (const TileOp &load : b.loads) {
        Stored &s = values.stored.at(load.dst);
        s.name = b.array;
        s.part = load.dst != b.loads[0].dst;
        s.offset = b.offset(load);
        s.strides = {b.pitch};
        // What lies behind the last column of the last row is read, and dropped.
        int behind = 0;
        if (!b.inner.empty()) {
            s.strides.push_back(b.inner_stride());
            behind = (s.sizes[1] - s.dims[1].size) * b.inner_stride();
        }
        s.elements = (int64_t(s.sizes[0]) * b.pitch + behind + 3) / 4 * 4;
    }
}

Values place_values(const TileProgram &program, int parts) {
    Values values;
    values.stream = program.stream.name;
    values.map = map_threads(program, parts);
    const std::set<std::string> registers = ChooseRegisters(program).choose();
    const std::set<std::string> across = values_across_points(program);
    const std::set<std::string> own = values_of_points(program, values.map.point_axis);
    for (const TileValue &v : program.values) {
        const std::string name = v.name + ".tile";
        if (across.count(v.name)) {
            Stored s;
            s.name = name;
            s.type = s.rounded_to = v.type;
            s.dims = v.dims;
            s.registers = s.across = true;
            s.sizes = {values.map.row_slots_across(program.query_tile), values.map.point_slots(),
                       values.map.column_slots_across(v.dims[1].axis)};
            s.elements = s.sizes[0] * s.sizes[1] * s.sizes[2];
            values.stored[v.name] = s;
        } else if (registers.count(v.name)) {
            Stored s;
            s.name = name;
            s.type = storage_type(v.type);
            s.rounded_to = v.type;
            s.dims = v.dims;
            s.registers = true;
            for (const TileDim &d : v.dims) {
                const bool rows = d.axis == program.query.name;
                s.sizes.push_back(rows ? values.map.row_slots : values.map.axes.at(d.axis).slots);
                s.elements *= s.sizes.back();
            }
            values.stored[v.name] = s;
        } else {
            // What only Loads fill is the same for all points, or differs because it reads the axis.
            const bool common = !own.count(v.name) && is_loaded(program, v.name);
            Stored s = shared_array(name, v.type, v.dims, program, values.map, !common);
            s.by_rows = common && v.dims.size() == 3 && v.dims[0].axis == program.query.name;
            values.stored[v.name] = s;
        }
    }
    if (!program.points.empty()) {
        values.bundles = find_bundles(program);
    }
    for (const Bundle &b : values.bundles) {
        place_bundle(values, b);
    }
    for (const StreamPass &pass : program.passes) {
        for (const std::string &name : pass.state) {
            values.stored.at(other_part(name)).other = true;
        }
    }
    return values;
}

}  // namespace

Values place_values(const TileProgram &program) {
    const int most_parts = program.points.empty() ? 8 / row_warps(program) : 1;
    for (int parts = 1; uses_matrix_unit(program) && parts <= most_parts; parts *= 2) {
        Values values = place_values(program, parts);
        if (values.register_words() <= most_register_words || !program.points.empty()) {
            return values;
        }
    }
    return place_values(program, 0);
}

int64_t Values::most_words() const {
    // Fewer points in a block mean more reads of what they share, so that a little more than fits is better than that.
    const int registers = 65536, most = 255, for_addresses = 4;
    return map.points == 1 ? most_register_words : std::min(most, registers / map.all_threads()) - for_addresses;
}

int64_t Values::register_words() const {
    // Of the values of one tile of the stream, hardly more than two live at a time.
    int64_t words = 0;
    std::vector<int64_t> of_tile = {0, 0};
    for (const auto &entry : stored) {
        const Stored &s = entry.second;
        if (s.registers && !s.other) {
            const int64_t own = s.elements * std::max(1, s.type.bytes() / 4);
            if (s.dimension(stream) >= 0) {
                of_tile.push_back(own);
            } else {
                words += own;
            }
        }
    }
    std::sort(of_tile.rbegin(), of_tile.rend());
    words += of_tile[0] + of_tile[1];
    return words;
}

const Bundle *Values::bundle_of(const std::string &value) const {
    for (const Bundle &b : bundles) {
        if (b.has(value)) {
            return &b;
        }
    }
    return nullptr;
}

int64_t Values::shared_bytes() const {
    int64_t bytes = 0;
    for (const auto &entry : stored) {
        bytes += entry.second.registers || entry.second.part ? 0 : (entry.second.bytes() + 15) / 16 * 16;
    }
    return bytes;
}

}  // namespace strobe::simt
