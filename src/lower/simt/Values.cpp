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
 * of the contracted axis. */
AxisSlots deal_to_matrix(int size, int parts) {
    const int padded = ceil_div(size, 16 * parts) * 16 * parts;
    return {size, padded / (4 * parts), 2, padded};
}

/** Warps that have rows of their own: eight are a block of 256 threads. */
int row_warps(const TileProgram &program) {
    return std::min(8, ceil_div(program.query_tile, 16));
}

/** \p parts: warps that share rows on the matrix unit; 0 without it. */
ThreadMap map_threads(const TileProgram &program, int parts) {
    ThreadMap map;
    map.matrix = parts > 0;
    if (map.matrix) {
        const int warps = row_warps(program);
        map.parts = parts;
        map.threads = 32 * warps * parts;
        map.lanes = 4;
        map.row_slots = 2 * ceil_div(program.query_tile, 16 * warps);
    } else {
        map.threads = 256;
        map.row_slots = ceil_div(program.query_tile, map.threads / map.lanes);
    }
    map.groups = map.threads / (map.lanes * map.parts);
    const std::set<std::string> runs = axes_read_in_runs(program);
    const auto add = [&](const std::string &axis, int size) {
        if (axis != program.query.name) {
            map.axes[axis] = map.matrix ? deal_to_matrix(size, map.parts) : deal(size, map.lanes, runs.count(axis) > 0);
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
    explicit ChooseRegisters(const TileProgram &program) : program(program) {
    }

    std::set<std::string> choose() {
        for (const TileValue &v : program.values) {
            if (row_mapped(v.dims) && v.place != Place::Shared) {
                chosen.insert(v.name);
            }
        }
        do {
            changed = false;
            for_each_op(program, [&](const TileOp &op) { visit(op); });
            for (const StreamPass &pass : program.passes) {
                for (const std::string &name : pass.state) {
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

Type storage_type(Type t) {
    return t.is_bool() ? UInt(8) : t.is_float() && t.bits() < 32 ? Float(32) : t;
}

}  // namespace

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
        return thread() / (32 * parts) * 16 + thread() % 32 / 4 + (slot / 2 * (2 * groups) + slot % 2 * 8);
    }
    return thread() / lanes + slot * groups;
}

Expr ThreadMap::column(const std::string &axis, int slot) const {
    const AxisSlots &a = axes.at(axis);
    return part() * (a.padded / parts) + lane() * a.width + (slot / a.width * lanes * a.width + slot % a.width);
}

int Stored::dimension(const std::string &axis) const {
    for (size_t d = 0; d < dims.size(); d++) {
        if (dims[d].axis == axis) {
            return (int)d;
        }
    }
    return -1;
}

std::vector<std::string> own_axes_of_store(const TileProgram &program, const TileOp &op) {
    std::vector<std::string> axes;
    for (const std::string &a : op.out_axes) {
        if (grid_axis_of(program, a).empty() && a != program.query.name) {
            axes.push_back(a);
        }
    }
    const bool rows = std::find(op.out_axes.begin(), op.out_axes.end(), program.query.name) != op.out_axes.end();
    if (!rows || axes.size() > 1) {
        return {};
    }
    axes.insert(axes.begin(), program.query.name);
    return axes;
}

Stored shared_array(const std::string &name, Type type, const std::vector<TileDim> &dims, const TileProgram &program,
                    const ThreadMap &map) {
    Stored s;
    s.name = name;
    s.type = map.matrix && !type.is_bool() ? type : storage_type(type);  // the matrix unit reads 16-bit operands
    s.rounded_to = type;
    s.dims = dims;
    for (const TileDim &d : dims) {
        s.sizes.push_back(d.axis == program.query.name ? map.groups * map.row_slots : map.axes.at(d.axis).padded);
    }
    s.strides.resize(dims.size());
    for (size_t d = dims.size(); d-- > 0;) {
        s.strides[d] = (int)s.elements;
        // Rows an odd multiple of 16 bytes apart: eight lanes that read as much of a row each meet no bank twice.
        const bool rows = d + 1 == dims.size() && dims.size() > 1;
        s.elements *= rows ? s.sizes[d] + 16 / s.type.bytes() : s.sizes[d];
    }
    return s;
}

namespace {

Values place_values(const TileProgram &program, int parts) {
    Values values;
    values.stream = program.stream.name;
    values.map = map_threads(program, parts);
    const std::set<std::string> registers = ChooseRegisters(program).choose();
    for (const TileValue &v : program.values) {
        const std::string name = v.name + ".tile";
        if (registers.count(v.name)) {
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
            values.stored[v.name] = shared_array(name, v.type, v.dims, program, values.map);
        }
    }
    for (const StreamPass &pass : program.passes) {
        for (const std::string &name : pass.state) {
            values.stored.at(other_part(name)).other = true;
        }
    }
    return values;
}

/** Some axis is mostly padding. */
bool pads_most(const ThreadMap &map) {
    return std::any_of(map.axes.begin(), map.axes.end(),
                       [](const auto &axis) { return axis.second.padded > 2 * axis.second.size; });
}

}  // namespace

Values place_values(const TileProgram &program) {
    for (int parts = 1; uses_matrix_unit(program) && parts * row_warps(program) <= 8; parts *= 2) {
        Values values = place_values(program, parts);
        if (values.register_words() <= most_register_words && (program.points.empty() || !pads_most(values.map))) {
            return values;
        }
    }
    return place_values(program, 0);
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

int64_t Values::shared_bytes() const {
    int64_t bytes = 0;
    for (const auto &entry : stored) {
        bytes += entry.second.registers ? 0 : (entry.second.bytes() + 15) / 16 * 16;
    }
    return bytes;
}

}  // namespace strobe::simt
