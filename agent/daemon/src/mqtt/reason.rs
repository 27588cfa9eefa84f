//! rumqttc's errors and reasons, sorted into the core's.

use agent_core::platform::TransportError;
use rumqttc::{
    ConnectReturnCode, ConnectionError, DisconnectReasonCode, StateError, SubscribeReasonCode, mqttbytes,
};

use crate::tls;

/// Why a connection ended.
pub(super) fn of_end(error: &ConnectionError) -> TransportError {
    match error {
        ConnectionError::ConnectionRefused(code) => TransportError::Refused(of_login(*code)),
        ConnectionError::MqttState(state) => of_state(state),
        ConnectionError::Io(io) => tls::from_io(io),
        ConnectionError::Timeout(_) | ConnectionError::DisconnectTimeout => TransportError::TimedOut,
        ConnectionError::NotConnAck(_) | ConnectionError::SessionStateMismatch { .. } => {
            TransportError::Protocol
        }
        _ => TransportError::Closed,
    }
}

fn of_state(error: &StateError) -> TransportError {
    match error {
        StateError::Io(io) | StateError::Deserialization(mqttbytes::Error::Io(io)) => tls::from_io(io),
        StateError::AwaitPingResp => TransportError::TimedOut,
        StateError::ConnectionAborted => TransportError::Closed,
        StateError::ConnFail { reason } => TransportError::Refused(of_login(*reason)),
        // The broker says why it ends the connection; only this reason is the identity's fault.
        StateError::ServerDisconnect { reason_code: DisconnectReasonCode::NotAuthorized, .. } => {
            TransportError::Refused(0x87)
        }
        StateError::ServerDisconnect { .. } => TransportError::Closed,
        StateError::IncomingPacketTooLarge { .. }
        | StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded { .. }) => {
            TransportError::TooLarge
        }
        _ => TransportError::Protocol,
    }
}

/// The code on the wire (MQTT 5, section 3.2.2.2); those of MQTT 3 as their nearest kin.
const fn of_login(code: ConnectReturnCode) -> u8 {
    match code {
        ConnectReturnCode::Success => 0x00,
        ConnectReturnCode::UnspecifiedError => 0x80,
        ConnectReturnCode::MalformedPacket => 0x81,
        ConnectReturnCode::ProtocolError => 0x82,
        ConnectReturnCode::ImplementationSpecificError => 0x83,
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => 0x84,
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => 0x85,
        ConnectReturnCode::BadUserNamePassword => 0x86,
        ConnectReturnCode::NotAuthorized => 0x87,
        ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::ServerUnavailable => 0x88,
        ConnectReturnCode::ServerBusy => 0x89,
        ConnectReturnCode::Banned => 0x8a,
        ConnectReturnCode::BadAuthenticationMethod => 0x8c,
        ConnectReturnCode::TopicNameInvalid => 0x90,
        ConnectReturnCode::PacketTooLarge => 0x95,
        ConnectReturnCode::QuotaExceeded => 0x97,
        ConnectReturnCode::PayloadFormatInvalid => 0x99,
        ConnectReturnCode::RetainNotSupported => 0x9a,
        ConnectReturnCode::QoSNotSupported => 0x9b,
        ConnectReturnCode::UseAnotherServer => 0x9c,
        ConnectReturnCode::ServerMoved => 0x9d,
        ConnectReturnCode::ConnectionRateExceeded => 0x9f,
    }
}

/// The code on the wire (MQTT 5, section 3.9.3).
pub(super) const fn of_subscription(code: &SubscribeReasonCode) -> u8 {
    match code {
        SubscribeReasonCode::Success(_) => 0x00,
        SubscribeReasonCode::Failure | SubscribeReasonCode::Unspecified => 0x80,
        SubscribeReasonCode::ImplementationSpecific => 0x83,
        SubscribeReasonCode::NotAuthorized => 0x87,
        SubscribeReasonCode::TopicFilterInvalid => 0x8f,
        SubscribeReasonCode::PkidInUse => 0x91,
        SubscribeReasonCode::QuotaExceeded => 0x97,
        SubscribeReasonCode::SharedSubscriptionsNotSupported => 0x9e,
        SubscribeReasonCode::SubscriptionIdNotSupported => 0xa1,
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => 0xa2,
    }
}

#[cfg(test)]
mod tests {
    use super::of_end;
    use agent_core::platform::TransportError;
    use rumqttc::{ConnectReturnCode, ConnectionError, DisconnectReasonCode, StateError};

    #[test]
    fn a_refusal_keeps_its_code_and_a_lost_connection_has_none() {
        let refused = ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized);
        assert_eq!(of_end(&refused), TransportError::Refused(0x87));
        let dropped = |reason_code| {
            let state = StateError::ServerDisconnect { reason_code, reason_string: None };
            of_end(&ConnectionError::MqttState(state))
        };
        assert_eq!(dropped(DisconnectReasonCode::NotAuthorized), TransportError::Refused(0x87));
        assert_eq!(dropped(DisconnectReasonCode::ServerShuttingDown), TransportError::Closed);
        let silent = ConnectionError::MqttState(StateError::AwaitPingResp);
        assert_eq!(of_end(&silent), TransportError::TimedOut);
    }

    #[test]
    fn an_alert_of_the_peer_is_told_from_a_closed_connection() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked);
        let io = |error| {
            ConnectionError::MqttState(StateError::Deserialization(rumqttc::mqttbytes::Error::Io(error)))
        };
        assert_eq!(of_end(&io(std::io::Error::other(alert))), TransportError::Tls);
        assert_eq!(of_end(&io(std::io::ErrorKind::ConnectionReset.into())), TransportError::Closed);
    }
}
