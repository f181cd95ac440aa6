#include "TileProgram.h"

#include "support/Error.h"

namespace strobe {

const char *name_of(Place place) {
    switch (place) {
    case Place::Shared:
        return "shared";
    case Place::Fragment:
        return "fragment";
    case Place::Row:
        return "row";
    case Place::Column:
        return "column";
    case Place::Uniform:
        return "uniform";
    }
    return "?";
}

std::string other_part(const std::string &value) {
    return value + ".other";
}

const TileValue &TileProgram::value(const std::string &name) const {
    for (const TileValue &v : values) {
        if (v.name == name) {
            return v;
        }
    }
    strobe_internal_error() << "tile program " << this->name << " has no value " << name;
}

bool TileProgram::has_value(const std::string &name) const {
    for (const TileValue &v : values) {
        if (v.name == name) {
            return true;
        }
    }
    return false;
}

const Axis &TileProgram::axis(const std::string &name) const {
    if (query.name == name) {
        return query;
    }
    if (stream.name == name) {
        return stream;
    }
    for (const std::vector<Axis> *list : {&grid, &columns}) {
        for (const Axis &a : *list) {
            if (a.name == name) {
                return a;
            }
        }
    }
    strobe_internal_error() << "tile program " << this->name << " has no axis " << name;
}

int SumsAhead::elements(const Output &array) const {
    int64_t count = 1;
    for (const std::string &a : array.axes) {
        const auto size = program.column_sizes.find(a);
        if (size != program.column_sizes.end()) {
            count *= size->second;
        } else if (a == program.query.name) {
            count *= *Halide::Internal::as_const_int(program.query.extent);
        }
    }
    return (int)count;
}

std::vector<Axis> SumsAhead::outer(const Output &array) const {
    std::vector<Axis> axes;
    for (const std::string &a : array.axes) {
        if (a != program.query.name && !program.column_sizes.count(a)) {
            axes.push_back(program.axis(a));
        }
    }
    return axes;
}

}  // namespace strobe
