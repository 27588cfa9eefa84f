//! Adapters that every bare-metal board shares: TLS, HTTP, MQTT, flash.
