//! Devices without hardware: factory, host simulator, fleets and the demonstration.
